"""Ostiary: a touchless door-entry appliance that keeps every face on the device."""

__version__ = "0.1.0"
