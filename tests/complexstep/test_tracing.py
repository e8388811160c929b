"""Tracing from several threads: torch.export belongs to the whole process."""

import time
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import nn

from imagrad.complexstep import tracing


def test_one_thread_traces_at_a_time(monkeypatch):
    inside, most = [], []
    plain = torch.export.export

    def noted(*arguments, **options):
        inside.append(None)
        most.append(len(inside))
        time.sleep(0.05)  # for others to come in, if they could
        try:
            return plain(*arguments, **options)
        finally:
            inside.pop()

    monkeypatch.setattr(torch.export, "export", noted)
    nets = [nn.Sequential(nn.Linear(3, k), nn.ReLU()).eval() for k in range(1, 5)]
    with ThreadPoolExecutor(4) as pool:
        graphs = list(pool.map(lambda net: tracing.export(net, [torch.rand(2, 3)], batched=True), nets))
    assert max(most) == 1
    assert [graph.output_shape[1] for graph in graphs] == [1, 2, 3, 4]
