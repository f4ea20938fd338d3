"""What happens to IQ between two antennas: noise, fading, offsets, interference. Knows no modem."""

from lora_phy.channel.compose import apply_channel as apply_channel
from lora_phy.channel.params import ChannelParams as ChannelParams
from lora_phy.channel.params import Interferer as Interferer
