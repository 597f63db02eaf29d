"""Times BLIP in PyTorch + transformers on the measures of peer_measures, one JSON object a line.

Needs torch, transformers, pillow and numpy. Model folders are full-size models in the Hugging Face
layout (the values of the weights do not matter): caption_base, caption_base_224, caption_large,
vqa_base, vqa_base_480, itm_base.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

START, END = 30522, 102


def used_by_all():
    user, nice, system = (int(x) for x in Path("/proc/stat").read_text().split()[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


class Measures:
    """A method per measure: returns what to time, items a call, counted calls."""

    def __init__(self, options):
        import torch
        import transformers

        self.torch, self.transformers, self.options = torch, transformers, options
        torch.set_num_threads(options.threads)
        torch.manual_seed(0)
        transformers.logging.set_verbosity_error()
        self.photos = sorted(Path(options.photos).glob("*.jp*g"))

    def model(self, folder="caption_base", kind="BlipForConditionalGeneration", **settings):
        kind = getattr(self.transformers, kind)
        return kind.from_pretrained(Path(self.options.models) / folder, **settings).eval()

    def read(self, paths):
        from PIL import Image

        processor = self.transformers.AutoProcessor.from_pretrained(
            Path(self.options.models) / "caption_base")
        images = lambda some: processor(images=[Image.open(p) for p in some],
                                        return_tensors="pt")["pixel_values"]
        return images, processor

    def preprocess_384(self):
        import numpy
        from PIL import Image

        mean = numpy.float32([0.48145466, 0.4578275, 0.40821073])
        std = numpy.float32([0.26862954, 0.26130258, 0.27577711])

        def run():
            image = Image.open(self.photos[0]).convert("RGB").resize((384, 384), Image.BICUBIC)
            pixels = numpy.asarray(image, numpy.float32) * (1 / (255 * std)) - mean / std
            return numpy.ascontiguousarray(pixels.transpose(2, 0, 1))
        return run, 1, 48

    def vision(self, folder, batch):
        network = self.model(folder).vision_model
        pixels = self.torch.randn(batch, 3, 384, 384)

        def run():
            with self.torch.inference_mode():
                network(pixels)
        return run, batch, 8 if batch == 1 else 4

    def vision_base_384_batch1(self):
        return self.vision("caption_base", 1)

    def vision_base_384_batch8(self):
        return self.vision("caption_base", 8)

    def vision_large_384_batch1(self):
        return self.vision("caption_large", 1)

    def generate(self, model, pixels, beams):
        ids = model.generate(pixels, num_beams=beams, do_sample=False, min_new_tokens=20,
                             max_new_tokens=20)
        assert ids.shape[1] == 21
        return ids

    def caption_greedy_20(self, beams=1):
        model, pixels = self.model(), self.torch.randn(1, 3, 384, 384)
        return lambda: self.generate(model, pixels, beams), 1, 6

    def caption_beam3_20(self):
        return self.caption_greedy_20(3)

    def caption_greedy_20_from_jpeg(self):
        model = self.model()
        read, processor = self.read(self.photos)
        return lambda: processor.batch_decode(
            self.generate(model, read(self.photos[:1]), 1), skip_special_tokens=True), 1, 6

    def caption_folder16_batch8_beam3_20(self):
        model = self.model()
        read, processor = self.read(self.photos)
        photos = [self.photos[i % len(self.photos)] for i in range(16)]

        def run():
            for start in (0, 8):
                ids = self.generate(model, read(photos[start:start + 8]), 3)
                processor.batch_decode(ids, skip_special_tokens=True)
        return run, 16, 2

    def texts(self, count, length):
        ids = self.torch.arange(1000, 1000 + count * length).reshape(count, length)
        ids[:, 0], ids[:, -1] = 101, END
        return ids, self.torch.ones_like(ids)

    def vqa(self, folder, size):
        model = self.model(folder, "BlipForQuestionAnswering")
        pixels, (ids, mask) = self.torch.randn(1, 3, size, size), self.texts(1, 12)

        def run():
            answer = model.generate(ids, pixels, mask, num_beams=3, do_sample=False,
                                    min_new_tokens=10, max_new_tokens=10)
            assert answer.shape[1] == 11
        return run, 1, 4

    def vqa_384_beam3_10(self):
        return self.vqa("vqa_base", 384)

    def vqa_480_beam3_10(self):
        return self.vqa("vqa_base_480", 480)

    def itm(self, texts):
        model = self.model("itm_base", "BlipForImageTextRetrieval")
        pixels, (ids, mask) = self.torch.randn(1, 3, 384, 384), self.texts(texts, 35)

        def run():
            with self.torch.inference_mode():  # the picture is encoded once for all texts
                scores = model(ids, pixels, attention_mask=mask).itm_score
            assert scores.shape == (texts, 2)
        return run, texts, 6

    def itm_1x1(self):
        return self.itm(1)

    def itm_1x16(self):
        return self.itm(16)

    def text_features_12(self):
        model = self.model("itm_base", "BlipForImageTextRetrieval")
        ids, mask = self.texts(1, 12)

        def run():
            with self.torch.inference_mode():
                states = model.text_encoder(ids, attention_mask=mask).last_hidden_state
                self.torch.nn.functional.normalize(model.text_proj(states[:, 0]), dim=-1)
        return run, 1, 48

    def train(self, folder, batch, size):
        config = self.transformers.BlipConfig.from_pretrained(Path(self.options.models) / folder)
        config.text_config.hidden_dropout_prob = 0.1
        config.text_config.attention_probs_dropout_prob = 0.1
        config.text_config.label_smoothing = 0.1
        model = self.model(folder, config=config).train()
        pixels = self.torch.randn(batch, 3, size, size)
        ids = self.torch.arange(999, 999 + batch * 35).reshape(batch, 35)
        ids[:, 0], ids[:, -1] = START, END
        labels = ids.clone()
        labels[:, :4] = -100

        optimizer = self.torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.05,
                                           fused=True)

        def run():
            model(pixels, input_ids=ids, attention_mask=self.torch.ones_like(ids),
                  labels=labels).loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return run, batch, 4

    def train_caption_224_batch4(self):
        return self.train("caption_base_224", 4, 224)

    def train_caption_224_batch4_recompute(self):
        """The same step: this library recomputes, and its memory is compared with this."""
        return self.train_caption_224_batch4()

    def train_caption_384_batch2(self):
        return self.train("caption_base", 2, 384)


ONCE = """
import sys
import torch
torch.set_num_threads(int(sys.argv[3]))
from PIL import Image
from transformers import BlipForConditionalGeneration, BlipProcessor
processor = BlipProcessor.from_pretrained(sys.argv[1])
model = BlipForConditionalGeneration.from_pretrained(sys.argv[1]).eval()
pixels = processor(images=Image.open(sys.argv[2]), return_tensors="pt")
ids = model.generate(**pixels, do_sample=False, num_beams=1, min_new_tokens=20, max_new_tokens=20)
print(processor.decode(ids[0], skip_special_tokens=True))
"""


def cold_start(options):
    photo = sorted(Path(options.photos).glob("*.jp*g"))[0]
    command = [sys.executable, "-c", ONCE, f"{options.models}/caption_base", photo,
               str(options.threads)]
    seconds, peak, own, others = [], 0, 0, 0
    for call in range(4):
        before, busy = time.perf_counter(), used_by_all()
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        assert status == 0, "the program that captions one photo failed"
        if call > 0:  # the first fills the page cache
            seconds.append(time.perf_counter() - before)
            peak = max(peak, usage.ru_maxrss / 1024)
            used = usage.ru_utime + usage.ru_stime
            own, others = own + used, others + used_by_all() - busy - used
    return seconds, 1, peak, own, others


def timed(name, options):
    call, items, calls = getattr(Measures(options), name)()
    call()
    Path("/proc/self/clear_refs").write_text("5")
    seconds, busy, own = [], used_by_all(), time.process_time()
    for _ in range(options.calls or calls):
        before = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - before)
    own = time.process_time() - own
    status = Path("/proc/self/status").read_text().split("VmHWM:")[1]
    return seconds, items, int(status.split()[0]) / 1024, own, used_by_all() - busy - own


def main():
    names = [name for name in vars(Measures) if "_" in name and not name.startswith("_")]
    names.append("cold_start_caption")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", required=True)
    parser.add_argument("--photos", required=True, help="folder of JPEG files")
    parser.add_argument("--measures", default=",".join(names))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--calls", type=int, help="counted calls of each measure")
    parser.add_argument("--single", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.single:
        for name in options.measures.split(","):
            subprocess.run([sys.executable, __file__, *sys.argv[1:], "--single", name])
        return
    name = options.single
    seconds, items, peak, own, others = (
        cold_start(options) if name == "cold_start_caption" else timed(name, options))
    median = statistics.median(seconds)
    print(json.dumps({
        "measure": name, "system": "pytorch-eager-float32", "min": min(seconds), "median": median,
        "max": max(seconds), "seconds": seconds, "items_per_call": items,
        "items_per_second": items / median, "threads": options.threads,
        "peak_rss_mib": round(peak), "cpu_per_wall": round(own / sum(seconds), 3),
        "other_cpu_per_wall": round(max(0, others) / sum(seconds), 3)}), flush=True)


if __name__ == "__main__":
    main()
