"""A Maix board in software: modem, wire, card, panel, camera, and two engines that drive them."""
