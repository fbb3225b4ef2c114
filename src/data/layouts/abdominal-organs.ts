/** Label ids of BTCV, and 14 of the multi-organ labels that go on from them. */
export const abdominalOrgans = {
  0: "background",
  1: "spleen",
  2: "right kidney",
  3: "left kidney",
  4: "gallbladder",
  5: "oesophagus",
  6: "liver",
  7: "stomach",
  8: "aorta",
  9: "inferior vena cava",
  10: "portal and splenic vein",
  11: "pancreas",
  12: "right adrenal gland",
  13: "left adrenal gland",
  14: "duodenum",
} as const;
