"""Writes one small image file per kind that src/data/decode.rs reads, and what Pillow makes of each in
data.safetensors: `<file>: [H, W, 3] u8`, the metadata naming Pillow's version.

Where Pillow's convert("RGB") is not what is wanted (16-bit grey is clipped, EXIF orientation ignored), the expected
pixels are computed here.
"""

import json
import pathlib
import struct

import numpy as np
import PIL
from PIL import Image, ImageOps

HERE = pathlib.Path(__file__).parent
HEIGHT, WIDTH = 12, 16

rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
red, green = 255 * columns / (WIDTH - 1), 255 * rows / (HEIGHT - 1)
blue = 255 - (red + green) / 2
rgb = Image.fromarray(np.stack([red, green, blue], -1).round().astype(np.uint8))
grey = rgb.convert("L")
alpha = Image.fromarray((255 - green).astype(np.uint8))
grey16 = (257 * red + 7 * rows).clip(0, 65535).astype(np.uint16)
expected = {}


def keep(name, pixels=None):
    if pixels is None:
        pixels = np.asarray(ImageOps.exif_transpose(Image.open(HERE / name)).convert("RGB"))
    expected[name] = np.ascontiguousarray(pixels)


def save(image, name, pixels=None, **options):
    image.save(HERE / name, **options)
    keep(name, pixels)


def oriented(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def without_adobe_marker(data):
    at = data.index(b"\xff\xee")
    return data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]


save(rgb, "rgb.jpg", quality=95)
save(rgb, "progressive.jpg", quality=95, progressive=True, subsampling=0)
save(grey, "grey.jpg", quality=95)
save(rgb.convert("CMYK"), "cmyk.jpg", quality=95)
(HERE / "cmyk_plain.jpg").write_bytes(without_adobe_marker((HERE / "cmyk.jpg").read_bytes()))
keep("cmyk_plain.jpg")
# The same inks as luma, chroma and key, Adobe's transform 2. Pillow writes none, so the marker is patched; what it
# writes it inverts, and Adobe inverts the key only.
ink = np.asarray(rgb.convert("CMYK"))
luma = 255 - np.asarray(Image.fromarray(ink[..., :3]).convert("YCbCr"))
ycck = Image.merge("CMYK", [Image.fromarray(channel) for channel in [*luma.transpose(2, 0, 1), ink[..., 3]]])
ycck.save(HERE / "ycck.jpg", quality=95)
data = bytearray((HERE / "ycck.jpg").read_bytes())
data[data.index(b"Adobe") + 11] = 2
(HERE / "ycck.jpg").write_bytes(data)
keep("ycck.jpg")
for orientation in range(1, 9):
    save(rgb, f"turned{orientation}.jpg", quality=95, subsampling=0, exif=oriented(orientation))

save(rgb, "rgb.png")
save(grey, "grey.png")
save(rgb.quantize(32), "palette.png")
save(rgb.quantize(7), "palette4.png", transparency=2)
save(grey.convert("1"), "bilevel.png")
transparent = rgb.copy()
transparent.putalpha(alpha)
save(transparent, "alpha.png")
save(Image.merge("LA", [grey, alpha]), "grey_alpha.png")
scaled = np.repeat((grey16 / 257).round().astype(np.uint8)[..., None], 3, -1)
save(Image.fromarray(grey16), "grey16.png", scaled)
save(rgb, "turned.png", exif=oriented(6))

save(rgb, "rgb.ppm")
save(grey, "grey.pgm")
save(grey.convert("1"), "bilevel.pbm")
(HERE / "grey16.pgm").write_bytes(b"P5\n%d %d\n65535\n" % (WIDTH, HEIGHT) + grey16.astype(">u2").tobytes())
keep("grey16.pgm", scaled)
shades = (red * 15 / 255).round().astype(int)
text = "\n".join(" ".join(map(str, row)) for row in shades)
(HERE / "ascii15.pgm").write_text(f"P2\n# sixteen shades\n{WIDTH} {HEIGHT}\n15\n{text}\n")
keep("ascii15.pgm")

save(rgb, "rgb.bmp")
save(rgb.quantize(32), "palette.bmp")
save(rgb, "lossless.webp", lossless=True)
save(rgb, "lossy.webp", quality=95)
save(transparent, "alpha.webp", lossless=True, exact=True)
save(rgb, "turned.webp", lossless=True, exif=oriented(6))
save(rgb, "rgb.tif", compression="tiff_lzw")
save(grey, "grey.tif", compression="tiff_adobe_deflate")
save(Image.fromarray(grey16), "grey16.tif", scaled)
save(rgb, "turned.tif", exif=oriented(6))
save(rgb.convert("CMYK"), "cmyk.tif")

# The safetensors format by hand: the length of a JSON header, the header, the bytes.
header, offset = {"__metadata__": {"pillow": PIL.__version__}}, 0
for name, pixels in expected.items():
    header[name] = {"dtype": "U8", "shape": pixels.shape, "data_offsets": [offset, offset + pixels.size]}
    offset += pixels.size
header = json.dumps(header).encode()
header += b" " * (-len(header) % 8)
content = struct.pack("<Q", len(header)) + header + b"".join(pixels.tobytes() for pixels in expected.values())
(HERE / "data.safetensors").write_bytes(content)
