import socket
import network
import gc
import os
import lcd, image

fm.register(board_info.WIFI_RX, fm.fpioa.UART2_TX)
fm.register(board_info.WIFI_TX, fm.fpioa.UART2_RX)
uart = machine.UART(machine.UART.UART2, 115200, timeout=1000, read_buf_len=4096)
nic = network.ESP8285(uart)
nic.connect("home", "correct horse")

sock = socket.socket()
addr = socket.getaddrinfo("server", 80)[0][-1]
sock.connect(addr)
sock.send("""GET /picture.bmp HTTP/1.1
Host: server
cache-control: no-cache

""")

img = b""
sock.settimeout(5)
while True:
    data = sock.recv(4096)
    if len(data) == 0:
        break
    print("rcv:", len(data))
    img = img + data

print(len(img))
img = img[img.find(b"\r\n\r\n") + 4 :]
print(len(img))
print("save to /sd/picture.bmp")
f = open("/sd/picture.bmp", "wb")
f.write(img)
f.close()
print("save ok")
print("display")
img = image.Image("/sd/picture.bmp")
lcd.init()
lcd.display(img)
