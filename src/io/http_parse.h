// http_parse.h: HTTP/1.1 messages out of bytes: finds the end of a head, reads it, decodes body framing.
// Pure: no sockets, no time. http_parse.cc is the only file that sees Boost.Beast. Everything that two parsers could
// read in two ways is refused (request smuggling): RFC 9112 2.2, 3, 5, 6, 7.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "io/http.h"

namespace kayak::io {

// Looks for the blank line that ends a head while bytes arrive, each byte once, and refuses what no head may hold:
// control characters, bare CR or LF, folded lines.
class HeadScanner {
 public:
  HeadScanner(std::size_t max_bytes, std::size_t max_fields) : max_bytes_(max_bytes), max_fields_(max_fields) {}
  enum class Found : std::uint8_t { kMore, kEnd, kBad, kTooLarge, kLineTooLong };
  // `bytes` are those of the last call and what arrived since. The first line may take half of `max_bytes`.
  Found scan(std::string_view bytes);
  std::size_t size() const { return position_; }  // of the head with its blank line, after kEnd
  void reset() { *this = HeadScanner(max_bytes_, max_fields_); }

 private:
  std::size_t max_bytes_, max_fields_;
  std::size_t position_ = 0;
  std::size_t line_begin_ = 0;
  std::size_t lines_ = 0;
  bool after_cr_ = false;
};

enum class BodyFraming : std::uint8_t { kNone, kLength, kChunked, kToEnd };

struct RequestHead {
  bool http11 = true;
  bool keep_alive = true;
  bool expects_continue = false;
  bool wants_upgrade = false;
  BodyFraming framing = BodyFraming::kNone;
  std::uint64_t length = 0;  // for kLength, > 0
};
struct HeadRefusal {
  int status = 0;  // 0: not refused
  std::string_view reason;
};
// `bytes` is a head that HeadScanner found, blank line included. Fills method, path, query, host and headers.
HeadRefusal parse_request_head(std::string_view bytes, HttpRequest* request, RequestHead* head);

// Fills path, query and, from the absolute form, host. In `strict` form (HTTP/2) only "/path?query" is one.
HeadRefusal parse_request_target(std::string_view target, bool strict, HttpRequest* request);
// RFC 3986 reg-name, IPv4 or [IPv6], with an optional port; may be empty.
bool is_host_value(std::string_view host);
// Content-Length's digits, at most 18.
bool parse_content_length(std::string_view text, std::uint64_t* length);

struct ResponseHead {
  int status = 0;
  bool keep_alive = true;
  BodyFraming framing = BodyFraming::kNone;
  std::uint64_t length = 0;
};
// Errors: Io (malformed, with what is wrong).
Result<ResponseHead> parse_response_head(std::string_view bytes, std::string_view request_method, Headers* headers);

// Takes a body out of the bytes that follow a head.
class BodyDecoder {
 public:
  BodyDecoder() = default;  // no body: done at once
  BodyDecoder(BodyFraming framing, std::uint64_t length);
  struct Step {
    std::size_t consumed = 0;  // bytes of `input` used up, `data` included
    std::string_view data;     // part of `input`
  };
  // The next run of body bytes. Nothing consumed and neither done nor bad: more input is needed.
  Step next(std::string_view input);
  bool done() const { return state_ == State::kDone; }
  bool bad() const { return state_ == State::kBad; }
  BodyFraming framing() const { return framing_; }
  // Bytes still to come for kLength.
  std::uint64_t remaining() const { return remaining_; }

 private:
  enum class State : std::uint8_t { kDone, kData, kSize, kExtension, kSizeLf, kDataCr, kDataLf, kTrailer, kBad };
  bool frame_byte(unsigned char c);
  BodyFraming framing_ = BodyFraming::kNone;
  State state_ = State::kDone;
  std::uint64_t remaining_ = 0;
  std::uint8_t size_digits_ = 0;
  // Framing bytes that carry nothing (extensions, trailers) against body bytes, in bytes: CVE-2023-39326.
  std::uint64_t overhead_ = 0;
  std::size_t trailer_line_ = 0;
  bool trailer_cr_ = false;
};

}  // namespace kayak::io
