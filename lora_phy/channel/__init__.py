"""Radio channel on IQ: noise, fading, offsets, hardware, interference. Knows no modem."""

from lora_phy.channel.compose import apply_channel as apply_channel
from lora_phy.channel.drift import CarrierDrift as CarrierDrift
from lora_phy.channel.drift import LeoPass as LeoPass
from lora_phy.channel.hardware import PhaseNoise as PhaseNoise
from lora_phy.channel.hardware import ReceiverFrontEnd as ReceiverFrontEnd
from lora_phy.channel.hardware import Transmitter as Transmitter
from lora_phy.channel.interference import ImpulsiveNoise as ImpulsiveNoise
from lora_phy.channel.interference import Interferer as Interferer
from lora_phy.channel.interference import NarrowbandNoise as NarrowbandNoise
from lora_phy.channel.multipath import Multipath as Multipath
from lora_phy.channel.params import ChannelParams as ChannelParams
from lora_phy.channel.params import Stage as Stage
