from pix import config, fetch, wifi
from pix.errors import PixError

try:
    modem = wifi.bring_up(config.Settings(wifi=[["home", "correct horse"]], led=12, retries=3), print)
    got = fetch.fetch(modem, "http://192.168.1.100:8888/yolov8n_224.kmodel", "/sd/yolo.kmodel", print)
    print("safe on the card:", got.bytes, "bytes, sha256", got.digest)
except PixError as error:
    print(error.line)
