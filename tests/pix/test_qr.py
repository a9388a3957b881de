"""`pix.qr` beside python-qrcode (its matrix, module for module) and read by ZXing."""

import pytest
import qrcode
import zxingcpp
from PIL import Image

URL = "http://192.168.4.50/"
WIFI = "WIFI:S:maixpix-4f2a;T:WPA;P:sunny day \\;x;;"


@pytest.fixture(scope="module")
def qr(pix_modules):
    return pix_modules.load("qr")


@pytest.mark.parametrize("mask", range(8))
@pytest.mark.parametrize("size", [1, 14, 15, 26, 40, 62, 84, 106, 122, 152, 180, 181, 213])
def test_every_version_and_mask_is_that_of_another_encoder(qr, size, mask):
    data = bytes(97 + n % 26 for n in range(size))
    peer = qrcode.QRCode(error_correction=qrcode.constants.ERROR_CORRECT_M, border=0, mask_pattern=mask)
    peer.add_data(qrcode.util.QRData(data, mode=qrcode.util.MODE_8BIT_BYTE), optimize=0)
    peer.make(fit=True)
    assert [list(row) for row in qr.matrix(data, mask)] == [[int(dark) for dark in row] for row in peer.get_matrix()]


@pytest.mark.parametrize("text", [URL, "http://frame.local/", WIFI, "x" * 200])
def test_codes_are_read_by_another_program(qr, text):
    rows = qr.matrix(text)
    picture = Image.new("L", (len(rows) + 8,) * 2, 255)
    for y, row in enumerate(rows):
        for x, dark in enumerate(row):
            if dark:
                picture.putpixel((x + 4, y + 4), 0)
    shown = picture.resize((picture.width * 6,) * 2, Image.Resampling.NEAREST)
    assert [code.text for code in zxingcpp.read_barcodes(shown)] == [text]


def test_too_much_is_refused(qr, pix_modules):
    with pytest.raises(pix_modules.PixError):
        qr.matrix(b"x" * 214)
