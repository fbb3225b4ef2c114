"""Writes the small checkpoints of the tests: SAM in the layouts of Meta, MedSAM, Hugging Face and SFR's LoRA,
SSL4MIS's 3D U-Net and MagicNet's V-Net.

Values are those of inputs.py by official name, so that a test can make them anew. Made with PyTorch 2.13.0,
transformers 5.23.0 (for Hugging Face's file alone) and safetensors 0.8.0.

    python test/oracle/make-checkpoints.py [FOLDER, default test/fixtures/checkpoints]
"""
import os
import re
import sys

import torch

import inputs
import magicnet
import sam
import unet3d

CONFIG = sam.SamConfig(8, 2, 2, (1,), 64, 4, window=2, neck=16, decoder_mlp=8, iou_hidden=16)
RANK = 2


# Official name to that of transformers' SamModel, part by part.
HUGGING_FACE = [
    (r"^image_encoder\.blocks\.", "vision_encoder.layers."),
    (r"^image_encoder\.", "vision_encoder."),
    (r"patch_embed\.proj\.", "patch_embed.projection."),
    (r"neck\.0\.", "neck.conv1."),
    (r"neck\.1\.", "neck.layer_norm1."),
    (r"neck\.2\.", "neck.conv2."),
    (r"neck\.3\.", "neck.layer_norm2."),
    (r"\.norm", ".layer_norm"),
    (r"pe_layer\.positional_encoding_gaussian_matrix", "shared_embedding.positional_embedding"),
    (r"point_embeddings", "point_embed"),
    (r"mask_downscaling\.0", "mask_embed.conv1"),
    (r"mask_downscaling\.1", "mask_embed.layer_norm1"),
    (r"mask_downscaling\.3", "mask_embed.conv2"),
    (r"mask_downscaling\.4", "mask_embed.layer_norm2"),
    (r"mask_downscaling\.6", "mask_embed.conv3"),
    (r"output_upscaling\.0", "upscale_conv1"),
    (r"output_upscaling\.1", "upscale_layer_norm"),
    (r"output_upscaling\.3", "upscale_conv2"),
    (r"(mlps\.\d+|head)\.layers\.0\.", r"\1.proj_in."),
    (r"(mlps\.\d+|head)\.layers\.1\.", r"\1.layers.0."),
    (r"(mlps\.\d+|head)\.layers\.2\.", r"\1.proj_out."),
]


def renamed(state):
    result = {}
    for name, tensor in state.items():
        for pattern, other in HUGGING_FACE:
            name = re.sub(pattern, other, name)
        result[name] = tensor
    result["shared_image_embedding.positional_embedding"] = result["prompt_encoder.shared_embedding.positional_embedding"]
    return result


def hugging_face(state, folder):
    """The state as SamModel holds it: renamed, loaded strictly into the model, and saved by it."""
    from transformers import SamConfig, SamMaskDecoderConfig, SamModel, SamPromptEncoderConfig, SamVisionConfig

    c = CONFIG
    vision = SamVisionConfig(
        hidden_size=c.width, output_channels=c.neck, num_hidden_layers=c.depth, num_attention_heads=c.heads,
        image_size=c.canvas, patch_size=sam.PATCH, window_size=c.window, global_attn_indexes=list(c.global_blocks),
        num_pos_feats=c.neck // 2, mlp_dim=4 * c.width,
    )
    prompt = SamPromptEncoderConfig(hidden_size=c.neck, image_size=c.canvas, patch_size=sam.PATCH)
    decoder = SamMaskDecoderConfig(
        hidden_size=c.neck, mlp_dim=c.decoder_mlp, num_multimask_outputs=c.classes - 1, iou_head_hidden_dim=c.iou_hidden
    )
    model = SamModel(SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder))
    model.load_state_dict(renamed(state), strict=True)
    model.half().save_pretrained(folder)
    os.rename(os.path.join(folder, "model.safetensors"), os.path.join(folder, "sam-hf.safetensors"))
    os.remove(os.path.join(folder, "config.json"))


def main(folder):
    os.makedirs(folder, exist_ok=True)
    state = inputs.weights(sam.parameter_shapes(CONFIG))
    torch.save(state, os.path.join(folder, "sam.pth"))
    torch.save({name: tensor.half() for name, tensor in state.items()}, os.path.join(folder, "sam-f16.pth"))

    # As MedSAM's training on several GPUs saves it; one parameter with moments is enough of an optimiser.
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([parameter], lr=1e-4)
    parameter.sum().backward()
    optimizer.step()
    model = {f"module.{name}": tensor.to(torch.bfloat16) for name, tensor in state.items()}
    checkpoint = {"model": model, "optimizer": optimizer.state_dict(), "epoch": 3}
    torch.save(checkpoint, os.path.join(folder, "medsam.pth"))

    # SFR's and SAMed's save_lora_parameters: the updates, then what else is trained. Three classes.
    other = sam.SamConfig(**{**CONFIG.__dict__, "classes": 3})
    trained = sam.lora_shapes(other, RANK) | sam.prompt_shapes(other) | sam.decoder_shapes(other)
    torch.save(inputs.weights(trained, seed=2), os.path.join(folder, "lora.pth"))

    # One filter, three classes; in f16, since the file would be twice as large for nothing.
    network = inputs.weights(unet3d.parameter_shapes(1, 3))
    torch.save({name: tensor.half() for name, tensor in network.items()}, os.path.join(folder, "unet3d.pth"))

    # With the location head that the authors' network has; its sizes do not matter here.
    head = {"0.weight": (8, 4), "0.bias": (8,), "1.weight": (8,), "1.bias": (8,), "3.weight": (27, 8), "3.bias": (27,)}
    shapes = magicnet.parameter_shapes(1, 3) | {f"fc_layer.fc_layer.{name}": shape for name, shape in head.items()}
    network = inputs.weights(shapes)
    torch.save({name: tensor.half() for name, tensor in network.items()}, os.path.join(folder, "magicnet.pth"))

    hugging_face(state, folder)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "test/fixtures/checkpoints")
