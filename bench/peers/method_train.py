"""One step of a re-training method in PyTorch, its losses as test/oracle/methods.py forms them.

Case: {"model": "vnet" | "unet3d" | "magicnet", "patch": [H, W, D], "filters": F, "classes": K, "method": a name of
methods.LOSSES or "mean-teacher"}; 2 labelled and 2 unlabelled crops with pseudo-labels. T = 10 steps, weight and rates as in
the goldens; SGD momentum 0.9, weight decay 1e-4. Heads that a method does not use are not computed. Check file and
result: the losses of step 0.
"""

from collections.abc import Callable

import numpy as np
import torch

import peer
import inputs
import losses
import magicnet
import method_networks
import methods
import unet3d
import vnet

NETWORKS = {"vnet": vnet, "unet3d": unet3d, "magicnet": magicnet}


def mean_teacher(nets: "Networks", batch: method_networks.Batch, t: int, pseudo: bool) -> list[torch.Tensor]:
    """SFR's: consistency over all crops."""
    logits = nets("student", batch.image)
    terms = method_networks.supervised(logits, batch, pseudo)
    with torch.no_grad():
        target = torch.softmax(nets("teacher", nets.noisy(batch.image, "teacher/noise")), 1)
    consistency = ((torch.softmax(logits, 1) - target) ** 2).mean()
    return [sum(terms) + method_networks.weight(t) * consistency, *terms, consistency]


LOSSES = {**methods.LOSSES, "mean-teacher": (mean_teacher, ("student", "teacher"), ("student",), True)}


class Networks(method_networks.Networks):
    """The networks of a method as a setting wants them. Random numbers are the engine's at step 0, which is checked, and
    PyTorch's own afterwards."""

    def __init__(self, names: tuple[str, ...], trained: tuple[str, ...], setting: method_networks.Setting, request: peer.Request):
        super().__init__(names, trained, torch.float32, setting)
        layout = torch.channels_last_3d if "channels-last" in request.options else torch.contiguous_format
        for values in self.parameters.values():
            for name, value in values.items():
                if value.dim() == 5:
                    values[name] = value.detach().to(memory_format=layout).requires_grad_(value.requires_grad)
        net = setting.net
        self.passes = {
            name: peer.prepared(request, build)
            for name, build in {
                "forward": lambda p, s, x, masks: net.forward(p, s, x, True, applied(masks)),
                "encode": lambda p, s, x, masks: net.encode(p, s, x, True, applied(masks)),
                "decode": lambda p, s, maps, masks: net.decode(p, s, maps, True, applied(masks)),
            }.items()
            if hasattr(net, name)
        }

    def masks(self, name: str, stream: str, samples: int) -> dict[str, torch.Tensor]:
        net, masks = self.setting.net, {}
        if not hasattr(net, "dropout_channels"):
            return masks
        for place, channels in net.dropout_channels(self.setting.filters, False).items():
            rate, shape = net.DROPOUT[place], (samples, channels)
            label = f"{stream}/{name}" if stream else name
            kept = (torch.rand(shape) >= rate).float() / (1 - rate)
            masks[place] = inputs.channel_mask(label, place, shape, rate, 0) if self.step == 0 else kept
        return masks

    def __call__(self, name: str, x: torch.Tensor, stream: str = "", scales: None = None) -> torch.Tensor:
        masks = self.masks(name, stream, x.shape[0])
        return self.passes["forward"](self.parameters[name], self.statistics[name], x, masks)

    def encode(self, name: str, x: torch.Tensor, stream: str = "") -> list[torch.Tensor]:
        masks = self.masks(name, stream, x.shape[0])
        return self.passes["encode"](self.parameters[name], self.statistics[name], x, masks)

    def decode(self, name: str, maps: list[torch.Tensor], stream: str = "") -> list[torch.Tensor]:
        masks = self.masks(name, stream, maps[0].shape[0])
        return self.passes["decode"](self.parameters[name], self.statistics[name], maps, masks)

    def noisy(self, x: torch.Tensor, stream: str) -> torch.Tensor:
        return super().noisy(x, stream) if self.step == 0 else x + torch.clamp(torch.randn_like(x) * 0.1, -0.2, 0.2)


def applied(masks: dict[str, torch.Tensor]) -> vnet.Dropout:
    return lambda place, x: x * masks[place][:, :, None, None, None] if place in masks else x


def training(request: peer.Request) -> Callable[[int], list[float]]:
    """A function that runs step 0, 1, .. and returns the losses."""
    c = request.case
    setting = method_networks.Setting(NETWORKS[c["model"]], tuple(c["patch"]), c["filters"], c["classes"])
    make, names, trained, pseudo = LOSSES[c["method"]]
    nets, batch = Networks(names, trained, setting, request), method_networks.Batch(setting)
    if "channels-last" in request.options:
        batch.image = batch.image.to(memory_format=torch.channels_last_3d)
        batch.labelled, batch.unlabelled = batch.image[:2], batch.image[2:]
    values = [value for name in trained for value in nets.parameters[name].values()]
    optimiser = torch.optim.SGD(values, lr=method_networks.LEARNING_RATE, momentum=0.9, weight_decay=1e-4)

    def step(index: int) -> list[float]:
        nets.step = index
        terms = make(nets, batch, index, pseudo)
        optimiser.zero_grad()
        terms[0].backward()
        optimiser.step()
        if "teacher" in names:
            losses.update_teacher(nets.parameters["teacher"], nets.parameters["student"], index)
        return [term.item() for term in terms]

    return step


def main() -> None:
    request = peer.parse(__doc__, ("channels-last", "compiled"))
    step = training(request)
    result = step(0)
    peer.write_check(request, {"losses": np.array(result)})
    peer.measure_steps(request, step, result)


if __name__ == "__main__":
    main()
