"""Pictures as they are stored."""

import io

import numpy as np
import pytest
from PIL import Image

from hplan.drawing import LARGEST_PALETTE, png


@pytest.mark.parametrize("num_colours", [1, 2, 3, 5, 16, 17, 256, 257])
def test_a_png_shows_what_was_drawn(num_colours):
    random = np.random.default_rng(num_colours)
    colours = random.integers(0, 256, (num_colours, 3), dtype=np.uint8)
    image = colours[random.permutation(np.arange(23 * 37) % num_colours).reshape(23, 37)]
    file = Image.open(io.BytesIO(png(image)))
    assert file.mode == ("P" if num_colours <= LARGEST_PALETTE else "RGB")
    assert np.array_equal(np.array(file.convert("RGB")), image)
