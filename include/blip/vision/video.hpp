#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <new>
#include <string>

#include <blip/core/error.hpp>
#include <blip/vision/encoded_image.hpp>
#include <blip/vision/image.hpp>

#if defined(BLIP_HAS_LIBAV) && BLIP_HAS_LIBAV

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/dict.h>
#include <libavutil/error.h>
#include <libswscale/swscale.h>
}

namespace blip::detail {

template <class Pointer>
Pointer required(Pointer pointer) {
    if (!pointer)
        throw std::bad_alloc();
    return pointer;
}

/// The pictures of the first video stream of a file, one after another, through libav.
class VideoReader {
    struct FreePacket {
        void operator()(AVPacket* packet) const { av_packet_free(&packet); }
    };
    struct FreeFrame {
        void operator()(AVFrame* frame) const { av_frame_free(&frame); }
    };

public:
    /// Throws FileError or FormatError when libav cannot read the file or it holds no pictures.
    VideoReader(std::filesystem::path const& path, ReadOptions const& options)
        : name_(path.string()), options_(options) {
        open();
    }

    /// How many packets of pictures the file holds: frames, but for a few that show none. Reads the
    /// file once: what a header claims is not relied upon.
    std::size_t count_packets() {
        open();
        std::size_t count = 0;
        auto const packet = required(std::unique_ptr<AVPacket, FreePacket>(av_packet_alloc()));
        int status = 0;
        while ((status = av_read_frame(format_.get(), packet.get())) >= 0) {
            if (packet->stream_index == stream_ && (packet->flags & AV_PKT_FLAG_DISCARD) == 0)
                ++count;
            av_packet_unref(packet.get());
        }
        if (status != AVERROR_EOF)
            fail("cannot be read to its end", status);
        if (count == 0)
            throw FormatError(join(name_, ": the video holds no frames."));
        return count;
    }

    /// Decodes from the start. Before each frame `wanted()` says whether its picture is needed;
    /// take(picture) is given it, or an empty one, and returns whether more are wanted.
    void decode(auto const& wanted, auto const& take) {
        open();
        auto const packet = required(std::unique_ptr<AVPacket, FreePacket>(av_packet_alloc()));
        auto const frame = required(std::unique_ptr<AVFrame, FreeFrame>(av_frame_alloc()));
        Image const none;
        for (bool flushing = false;;) {
            int status = avcodec_receive_frame(decoder_.get(), frame.get());
            if (status == AVERROR_EOF)
                return;
            if (status >= 0) {
                bool const more = wanted() ? take(convert(*frame)) : take(none);
                av_frame_unref(frame.get());
                if (!more)
                    return;
                continue;
            }
            if (status != AVERROR(EAGAIN) || flushing)
                fail("cannot be decoded", status);
            status = av_read_frame(format_.get(), packet.get());
            if (status == AVERROR_EOF) {
                flushing = true;
                check(avcodec_send_packet(decoder_.get(), nullptr), "cannot be decoded");
                continue;
            }
            check(status, "cannot be read to its end");
            if (packet->stream_index == stream_)
                status = avcodec_send_packet(decoder_.get(), packet.get());
            av_packet_unref(packet.get());
            check(status, "cannot be decoded");
        }
    }

private:
    struct CloseFormat {
        void operator()(AVFormatContext* context) const { avformat_close_input(&context); }
    };
    struct FreeDecoder {
        void operator()(AVCodecContext* context) const { avcodec_free_context(&context); }
    };
    struct FreeScaler {
        void operator()(SwsContext* context) const { sws_freeContext(context); }
    };

    [[noreturn]] void fail(char const* what, int status) const {
        char text[AV_ERROR_MAX_STRING_SIZE] = {};
        av_strerror(status, text, sizeof text);
        throw FormatError(
            join(name_, ": this video ", what, ": ", text,
                 ". Get a complete copy, or save its frames as pictures in a folder."));
    }
    void check(int status, char const* what) const {
        if (status < 0)
            fail(what, status);
    }

    void open() {
        decoder_.reset();
        AVFormatContext* format = nullptr;
        // The scheme keeps names with a colon from being taken for an address.
        auto const url = "file:" + name_;
        // Containers only: playlists would make libav open whatever else they name.
        AVDictionary* limits = nullptr;
        av_dict_set(&limits, "protocol_whitelist", "file", 0);
        av_dict_set(&limits, "format_whitelist",
                    "mov,mp4,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,ogg,asf,yuv4mpegpipe,h264,"
                    "hevc,ivf,av1,m4v,mxf,nut,dv,mjpeg,rm,swf,wtv,gif",
                    0);
        int const status = avformat_open_input(&format, url.c_str(), nullptr, &limits);
        av_dict_free(&limits);
        if (status < 0) {
            char text[AV_ERROR_MAX_STRING_SIZE] = {};
            av_strerror(status, text, sizeof text);
            throw FormatError(
                join(name_, ": neither a picture nor a video that libav reads: ", text, "."));
        }
        format_.reset(format);
        check(avformat_find_stream_info(format, nullptr), "cannot be understood");
        AVCodec const* codec = nullptr;
        stream_ = av_find_best_stream(format, AVMEDIA_TYPE_VIDEO, -1, -1, &codec, 0);
        if (stream_ < 0 || !codec)
            throw FormatError(join(name_, ": it holds no moving pictures that libav can decode."));
        auto const* parameters = format->streams[stream_]->codecpar;
        require_size(parameters->height, parameters->width);
        decoder_.reset(avcodec_alloc_context3(codec));
        if (!decoder_)
            throw std::bad_alloc();
        check(avcodec_parameters_to_context(decoder_.get(), parameters), "cannot be decoded");
        check(avcodec_open2(decoder_.get(), codec, nullptr), "cannot be decoded");
    }

    ImageSize require_size(int height, int width) const {
        return checked_size({{}, name_}, static_cast<std::uint64_t>(std::max(height, 0)),
                            static_cast<std::uint64_t>(std::max(width, 0)), options_);
    }

    Image convert(AVFrame const& frame) {
        auto const size = require_size(frame.height, frame.width);
        scaler_.reset(sws_getCachedContext(
            scaler_.release(), frame.width, frame.height, static_cast<AVPixelFormat>(frame.format),
            frame.width, frame.height, AV_PIX_FMT_RGB24,
            SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT, nullptr, nullptr, nullptr));
        if (!scaler_)
            throw FormatError(
                join(name_, ": libswscale cannot convert the video's pixels to RGB."));
        Image image = make_image(size);
        std::uint8_t* const planes[4] = {image.data(), nullptr, nullptr, nullptr};
        int const strides[4] = {3 * frame.width, 0, 0, 0};
        check(
            sws_scale(scaler_.get(), frame.data, frame.linesize, 0, frame.height, planes, strides),
            "cannot be converted to RGB");
        return image;
    }

    std::string name_;
    ReadOptions options_;
    std::unique_ptr<AVFormatContext, CloseFormat> format_;
    std::unique_ptr<AVCodecContext, FreeDecoder> decoder_;
    std::unique_ptr<SwsContext, FreeScaler> scaler_;
    int stream_ = -1;
};

} // namespace blip::detail

#else

namespace blip::detail {

/// Stands in for the video reader in a build without libav.
class VideoReader {
public:
    /// @throws FormatError always
    VideoReader(std::filesystem::path const& path, ReadOptions const&) {
        throw FormatError(
            join(path.string(),
                 ": not a JPEG, PNG, BMP, GIF or WebP picture. If it is a video: this "
                 "program was built without libav. Build with libavformat, libavcodec "
                 "and libswscale, or save the frames as pictures in a folder "
                 "(ffmpeg -i ",
                 path.filename().string(), " frames/%05d.png) and name the folder."));
    }

    std::size_t count_packets() { return 0; }
    void decode(auto const&, auto const&) {}
};

} // namespace blip::detail

#endif
