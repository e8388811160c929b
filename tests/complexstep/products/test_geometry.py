"""Which position goes into which: as torch's own convolutions have it; and room in a thread's memory."""

import pytest
import torch
from torch.nn import functional as F

from imagrad.complexstep.products import geometry, plan
from imagrad.complexstep.products.geometry import Window

WINDOWS = {
    "plain": ((5,), (3,), (3,), (1,), (0,), (1,)),
    "strided": ((7, 6), (4, 3), (3, 2), (2, 2), (1, 0), (1, 1)),
    "dilated, padded": ((5, 4), (5, 6), (3, 2), (1, 1), (2, 2), (2, 2)),
    "volume": ((3, 3, 3), (2, 2, 2), (2, 2, 2), (1, 1, 1), (0, 0, 0), (1, 1, 1)),
}


def dense(table, given, taps):
    """The table as a matrix: ones where a position taken goes into one given, through which position of the kernel."""
    found = torch.zeros(len(table.starts) - 1, given, taps)
    for taken in range(len(found)):
        for place, tap in table.pairs[table.starts[taken] : table.starts[taken + 1]].tolist():
            found[taken, place, tap] += 1
    return found


@pytest.mark.parametrize("name", sorted(WINDOWS))
@pytest.mark.parametrize("is_transposed", [False, True])
def test_tables_are_those_of_torch(name, is_transposed):
    wide, narrow, kernel, stride, padding, dilation = WINDOWS[name]
    axes, taps = len(kernel), torch.tensor(kernel).prod()
    settings = dict(zip(("stride", "padding", "dilation"), (stride, padding, dilation), strict=True))
    units = torch.eye(int(taps)).view(-1, 1, 1, *kernel)
    if is_transposed:
        rest = [
            w - ((n - 1) * s - 2 * p + d * (k - 1) + 1)
            for w, n, s, p, d, k in zip(wide, narrow, stride, padding, dilation, kernel, strict=True)
        ]
        taken, given = narrow, wide
        run = [None, F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d][axes]
        settings["output_padding"] = rest
    else:
        taken, given = wide, narrow
        run = [None, F.conv1d, F.conv2d, F.conv3d][axes]
    points = torch.eye(int(torch.tensor(taken).prod())).view(-1, 1, *taken)
    exact = torch.stack([run(points, unit, **settings).flatten(1) for unit in units], -1)
    found = geometry._table(Window(taken, given, kernel, stride, padding, dilation, is_transposed))
    assert torch.equal(dense(found, exact.shape[1], int(taps)), exact)


def test_room_is_shared_only_by_what_is_not_needed_together():
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        first = torch.randint(20, (12,), generator=generator)
        last = first + torch.randint(8, (12,), generator=generator)
        sizes = torch.randint(1, 100, (12,), generator=generator)
        needed = list(zip(first.tolist(), last.tolist(), sizes.tolist(), strict=True))
        offsets, whole = plan._placed(needed)
        for k, (begin, end, size) in enumerate(needed):
            assert 0 <= offsets[k] <= whole - size
            for n, (other_begin, other_end, other_size) in enumerate(needed):
                if n != k and begin <= other_end and other_begin <= end:
                    assert offsets[k] + size <= offsets[n] or offsets[n] + other_size <= offsets[k]
        most = max(sum(s for b, e, s in needed if b <= step <= e) for step in range(28))
        assert most <= whole <= sum(sizes)
