/**
 * Names in a checkpoint of Hugging Face's SamModel (transformers 4 and 5), by pattern; the first one that matches
 * renames. A hyper-network or IoU head of three layers is there `proj_in`, `layers.0`, `proj_out`.
 */
const fromHuggingFace: readonly (readonly [pattern: RegExp, official: string])[] = [
  [/^vision_encoder\.patch_embed\.projection\./, "image_encoder.patch_embed.proj."],
  [/^vision_encoder\.neck\.conv1\./, "image_encoder.neck.0."],
  [/^vision_encoder\.neck\.layer_norm1\./, "image_encoder.neck.1."],
  [/^vision_encoder\.neck\.conv2\./, "image_encoder.neck.2."],
  [/^vision_encoder\.neck\.layer_norm2\./, "image_encoder.neck.3."],
  [/^vision_encoder\.layers\.(\d+)\.layer_norm/, "image_encoder.blocks.$1.norm"],
  [/^vision_encoder\.layers\./, "image_encoder.blocks."],
  [/^vision_encoder\./, "image_encoder."],
  // One matrix under two names; a safetensors file holds only the first.
  [
    /^shared_image_embedding\.positional_embedding$/,
    "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
  ],
  [
    /^prompt_encoder\.shared_embedding\.positional_embedding$/,
    "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
  ],
  [/^prompt_encoder\.mask_embed\.conv1\./, "prompt_encoder.mask_downscaling.0."],
  [/^prompt_encoder\.mask_embed\.layer_norm1\./, "prompt_encoder.mask_downscaling.1."],
  [/^prompt_encoder\.mask_embed\.conv2\./, "prompt_encoder.mask_downscaling.3."],
  [/^prompt_encoder\.mask_embed\.layer_norm2\./, "prompt_encoder.mask_downscaling.4."],
  [/^prompt_encoder\.mask_embed\.conv3\./, "prompt_encoder.mask_downscaling.6."],
  [/^prompt_encoder\.point_embed\./, "prompt_encoder.point_embeddings."],
  [/^mask_decoder\.upscale_conv1\./, "mask_decoder.output_upscaling.0."],
  [/^mask_decoder\.upscale_layer_norm\./, "mask_decoder.output_upscaling.1."],
  [/^mask_decoder\.upscale_conv2\./, "mask_decoder.output_upscaling.3."],
  [/^(mask_decoder\.(?:iou_prediction_head|output_hypernetworks_mlps\.\d+))\.proj_in\./, "$1.layers.0."],
  [/^(mask_decoder\.(?:iou_prediction_head|output_hypernetworks_mlps\.\d+))\.layers\.0\./, "$1.layers.1."],
  [/^(mask_decoder\.(?:iou_prediction_head|output_hypernetworks_mlps\.\d+))\.proj_out\./, "$1.layers.2."],
  [/^(mask_decoder\.transformer\.(?:layers\.\d+\.)?)layer_norm/, "$1norm"],
];

/**
 * The names that tensors of a file have in segment-anything, whose names the networks here use. Known are those names
 * themselves (Meta's files, MedSAM's, LoRA files of SFR and SAMed), Hugging Face's SamModel, and either of them with the
 * prefix `module.` that torch's DataParallel puts in front.
 *
 * @returns the file's name by official name; a second name of the same tensor is left out
 */
export function officialNames(names: Iterable<string>): Map<string, string> {
  const plain = new Map([...names].map((name) => [name, name.replace(/^module\./, "")]));
  const isHuggingFace = [...plain.values()].some((name) => name.startsWith("vision_encoder."));
  const official = new Map<string, string>();
  for (const [name, bare] of plain) {
    const key = isHuggingFace ? renamed(bare) : bare;
    if (!official.has(key)) official.set(key, name);
  }
  return official;
}

function renamed(name: string): string {
  const rule = fromHuggingFace.find(([pattern]) => pattern.test(name));
  return rule === undefined ? name : name.replace(rule[0], rule[1]);
}
