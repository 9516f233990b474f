"""Augmentation of whole batches on the device, one draw per image and no Python loop over images.

    crop_and_flip(images, padding=4, flip=True, generator=g)                      # what the recipe asks for
    diverse_view("randaugment", images, padding=4, flip=True, generator=g)        # FairAT's view of its hard examples

Images are (batch, channels, height, width) with 1 or 3 channels, uint8 or float in [0, 1], and come back in the same
type. An image's result depends on its own draws alone, never on its neighbours. Where torchvision has the same
augmentation for single images, it is the reference that the tests compare with.
"""

from fairbench.data.augmentation.autoaugment import autoaugment as autoaugment
from fairbench.data.augmentation.crop_and_flip import crop_and_flip as crop_and_flip
from fairbench.data.augmentation.idbh import idbh as idbh
from fairbench.data.augmentation.randaugment import randaugment as randaugment
from fairbench.data.augmentation.random_erasing import random_erasing as random_erasing
from fairbench.data.augmentation.trivialaugment import trivialaugment as trivialaugment
from fairbench.data.augmentation.views import VIEWS as VIEWS
from fairbench.data.augmentation.views import diverse_view as diverse_view
