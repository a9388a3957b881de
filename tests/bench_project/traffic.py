import lcd
import network
import usocket
from fpioa_manager import fm
from machine import UART

fm.register(7, fm.fpioa.UART2_TX)
fm.register(6, fm.fpioa.UART2_RX)
network.ESP8285(UART(UART.UART2, 115200, read_buf_len=4096)).connect("home", "correct horse")
s = usocket.socket()
s.connect(usocket.getaddrinfo("server", 80)[0][-1])
s.settimeout(1)
s.send("GET /colour HTTP/1.0\r\n\r\n")
colour = s.recv(400).split(b"\r\n\r\n")[1].decode()
lcd.init()
lcd.clear({"red": lcd.RED, "green": lcd.GREEN}[colour])
