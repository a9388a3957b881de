import os
import socket
import network
import gc

fm.register(board_info.WIFI_RX, fm.fpioa.UART2_TX)
fm.register(board_info.WIFI_TX, fm.fpioa.UART2_RX)
uart = machine.UART(machine.UART.UART2, 115200, timeout=1000, read_buf_len=4096)
nic = network.ESP8285(uart)
nic.connect("home", "correct horse")

addr = ("10.0.0.2", 3456)
sock = socket.socket()
sock.connect(addr)
sock.settimeout(5)

f = open("/sd/picture.bmp", "rb")
while True:
    img = f.read(2048)
    if not img or (len(img) == 0):
        break
    sock.send(img)
f.close()
sock.close()
