// http2_session.h: what the HTTP/2 server and the HTTP/2 client share around nghttp2: the batch of frames for the next
// write, the body that a stream sends, header fields as nghttp2 takes them, its callbacks, allowances.
// Source: RFC 9113; CVE-2023-44487, CVE-2024-28182.
#pragma once

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/http_internal.h"

namespace kayak::io {

// A token bucket: `burst` at once, `rate` a second after that.
class Allowance {
 public:
  Allowance(std::int64_t burst, std::int64_t rate) : burst_(burst), rate_(rate), tokens_(burst) {}
  bool take(std::uint64_t now_ms) {
    const std::int64_t earned = static_cast<std::int64_t>(now_ms - since_ms_) * rate_ / 1000;
    if (earned > 0) {
      tokens_ = std::min(burst_, tokens_ + earned);
      since_ms_ = now_ms;
    }
    return --tokens_ >= 0;
  }
  void give(std::int64_t tokens) { tokens_ = std::min(burst_, tokens_ + tokens); }

 private:
  std::int64_t burst_, rate_, tokens_;
  std::uint64_t since_ms_ = 0;
};

// Frames for the next write, one after the other, cut into slices where large data lies between them.
class FrameBatch {
 public:
  // More frames are made when these have gone out.
  bool full() const { return bytes_ >= kWritePiece; }
  bool empty() const { return bytes_ == 0; }
  void append(std::string_view frames) {
    tail_.append(frames);
    bytes_ += frames.size();
  }
  void append(Slice data);  // small data is copied
  Slices take();

 private:
  void cut_tail();
  Slices slices_;
  std::string tail_;
  std::size_t bytes_ = 0;
};

// What one stream sends: nghttp2 takes it from here, without a copy when it is large. Must live until nghttp2 has
// closed the stream.
class OutputBody {
 public:
  void put(Slices data, std::size_t size);  // the last one must be gone
  // Nothing but the trailers will follow.
  void end(Headers trailers = Headers()) {
    ended_ = true;
    trailers_ = std::move(trailers);
  }
  void end_untaken() { ended_ = end_taken_ = true; }
  void clear() { slices_.clear(); }
  std::size_t size() const { return bytes_; }
  bool ended() const { return ended_; }
  bool all_taken() const { return bytes_ == 0 && (!ended_ || end_taken_); }
  Event& moved() { return moved_; }
  // Whether nghttp2 must be told to ask again; clears that.
  bool take_deferred() { return std::exchange(deferred_, false); }
  nghttp2_data_provider provider();
  // nghttp2 sends a data frame: its header and the next `length` bytes go into the batch.
  void move_to(FrameBatch* batch, std::string_view frame_header, std::size_t length);

 private:
  static ssize_t provide(nghttp2_session*, std::int32_t, std::uint8_t*, std::size_t length, std::uint32_t* flags,
                         nghttp2_data_source* source, void*);
  int submit_trailers(nghttp2_session* session, std::int32_t id) const;
  Slices slices_;
  std::size_t first_ = 0;  // slices before it are gone
  std::size_t bytes_ = 0;
  Event moved_;
  bool ended_ = false;
  bool end_taken_ = false;  // nghttp2 knows
  bool deferred_ = false;   // nghttp2 waits for resume_data
  Headers trailers_;
};

// Header fields for nghttp2, which copies them when they are submitted.
class Http2Fields {
 public:
  explicit Http2Fields(const Headers& headers);
  // `value` must live until the submission; `name` is lower case.
  void add(std::string_view name, std::string_view value);
  // A field with its name made lower case, and what could split it made blanks; those that HTTP/2 does not have and
  // Content-Length are left out.
  void add_from(std::string_view name, std::string_view value);
  const nghttp2_nv* data() const { return fields_.data(); }
  std::size_t size() const { return fields_.size(); }

 private:
  std::string_view keep(std::string_view piece, bool is_name);
  std::string text_;  // never grows beyond what was reserved: the fields point into it
  std::vector<nghttp2_nv> fields_;
};

// A session whose callbacks are members of `Connection`: on_begin_frame, on_begin_headers, on_header, on_frame,
// on_data, on_stream_close, on_frame_sent, on_frame_not_sent and take_data; frames go to its batch().
// With `any_authority` nghttp2 leaves the checks of header fields to on_header: its own refuse some :authority values.
template <typename Connection>
nghttp2_session* make_http2_session(Connection& connection, bool server, bool any_authority) {
  nghttp2_session_callbacks* calls = nullptr;
  nghttp2_option* option = nullptr;
  ASSERT(nghttp2_session_callbacks_new(&calls) == 0 && nghttp2_option_new(&option) == 0);
  static constexpr auto self = [](void* user) -> Connection& { return *static_cast<Connection*>(user); };
  static constexpr auto text = [](const std::uint8_t* data, std::size_t size) {
    return std::string_view(reinterpret_cast<const char*>(data), size);
  };
  nghttp2_session_callbacks_set_on_begin_frame_callback(
      calls, [](nghttp2_session*, const nghttp2_frame_hd* hd, void* user) { return self(user).on_begin_frame(*hd); });
  nghttp2_session_callbacks_set_on_begin_headers_callback(
      calls, [](nghttp2_session*, const nghttp2_frame* f, void* user) { return self(user).on_begin_headers(*f); });
  nghttp2_session_callbacks_set_on_header_callback(
      calls, [](nghttp2_session*, const nghttp2_frame* f, const std::uint8_t* name, std::size_t name_size,
                const std::uint8_t* value, std::size_t value_size, std::uint8_t,
                void* user) { return self(user).on_header(*f, text(name, name_size), text(value, value_size)); });
  nghttp2_session_callbacks_set_on_frame_recv_callback(
      calls, [](nghttp2_session*, const nghttp2_frame* f, void* user) { return self(user).on_frame(*f); });
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
      calls, [](nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* data, std::size_t size,
                void* user) { return self(user).on_data(id, text(data, size)); });
  nghttp2_session_callbacks_set_on_stream_close_callback(
      calls, [](nghttp2_session*, std::int32_t id, std::uint32_t code, void* user) {
        return self(user).on_stream_close(id, code);
      });
  nghttp2_session_callbacks_set_on_frame_send_callback(
      calls, [](nghttp2_session*, const nghttp2_frame* f, void* user) { return self(user).on_frame_sent(*f); });
  nghttp2_session_callbacks_set_on_frame_not_send_callback(
      calls,
      [](nghttp2_session*, const nghttp2_frame* f, int, void* user) { return self(user).on_frame_not_sent(*f); });
  nghttp2_session_callbacks_set_send_callback(
      calls, [](nghttp2_session*, const std::uint8_t* data, std::size_t size, int, void* user) -> ssize_t {
        FrameBatch& batch = self(user).batch();
        if (batch.full()) return NGHTTP2_ERR_WOULDBLOCK;
        batch.append(text(data, size));
        return static_cast<ssize_t>(size);
      });
  nghttp2_session_callbacks_set_send_data_callback(
      calls, [](nghttp2_session*, nghttp2_frame* f, const std::uint8_t* header, std::size_t length,
                nghttp2_data_source* source, void* user) {
        constexpr std::size_t kFrameHeader = 9;
        if (self(user).batch().full()) return static_cast<int>(NGHTTP2_ERR_WOULDBLOCK);
        return self(user).take_data(f->hd.stream_id, *static_cast<OutputBody*>(source->ptr), text(header, kFrameHeader),
                                    length);
      });
  // Unread bodies keep their window: that is the back-pressure on the peer.
  nghttp2_option_set_no_auto_window_update(option, 1);
  nghttp2_option_set_no_closed_streams(option, 1);
  nghttp2_option_set_stream_reset_rate_limit(option, 1000, 33);  // CVE-2023-44487
  nghttp2_option_set_max_continuations(option, 8);               // CVE-2024-28182
  nghttp2_option_set_max_outbound_ack(option, 1000);
  nghttp2_option_set_no_http_messaging(option, any_authority ? 1 : 0);
  nghttp2_session* session = nullptr;
  const int rc = server ? nghttp2_session_server_new2(&session, calls, &connection, option)
                        : nghttp2_session_client_new2(&session, calls, &connection, option);
  nghttp2_session_callbacks_del(calls);
  nghttp2_option_del(option);
  ASSERT(rc == 0);
  return session;
}

}  // namespace kayak::io
