/** Why tests that need the optional package dcmjs are left out; false where it is installed. */
export const dcmjsMissing = await import("dcmjs").then(
  () => false as const,
  () => "dcmjs is not installed",
);
