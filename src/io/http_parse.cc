// http_parse.cc: see http_parse.h. Boost.Beast's parser splits a head into its fields; what it lets through and we do
// not (other transfer codings, folded lines, repeated Content-Length or Host) is checked before and after.
#include "io/http_parse.h"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>

#include "base/strings.h"

namespace kayak::io {

namespace http = boost::beast::http;
using boost::beast::error_code;

HeadScanner::Found HeadScanner::scan(std::string_view bytes) {
  const std::size_t end = std::min(bytes.size(), max_bytes_);
  while (position_ < end) {
    const auto c = static_cast<unsigned char>(bytes[position_]);
    if (after_cr_) {
      if (c != '\n') return Found::kBad;
      after_cr_ = false;
      const bool blank = position_ == line_begin_ + 1;
      ++position_;
      line_begin_ = position_;
      if (blank) return lines_ == 0 ? Found::kBad : Found::kEnd;
      if (++lines_ > max_fields_ + 1) return Found::kTooLarge;
      continue;
    }
    if (c == '\r') {
      after_cr_ = true;
    } else if ((c < 0x20 && c != '\t') || c == 0x7f) {
      return Found::kBad;
    } else if (position_ == line_begin_ && (c == ' ' || c == '\t')) {
      return Found::kBad;  // a folded line, or a blank before the first
    }
    ++position_;
    if (lines_ == 0 && position_ > max_bytes_ / 2) return Found::kLineTooLong;
  }
  return bytes.size() >= max_bytes_ ? Found::kTooLarge : Found::kMore;
}

namespace {

// Hands Beast's findings to whoever asked; stops after the head.
template <bool kIsRequest>
class HeadParser final : public http::basic_parser<kIsRequest> {
 public:
  explicit HeadParser(Headers* headers) : headers_(headers) {
    this->skip(true);
    this->eager(false);
  }
  // False when the bytes are not one whole head.
  bool parse(std::string_view bytes) {
    this->header_limit(static_cast<std::uint32_t>(bytes.size()) + 1);
    const std::size_t used = this->put(boost::asio::const_buffer(bytes.data(), bytes.size()), error_);
    return !error_ && this->is_header_done() && used == bytes.size();
  }
  const error_code& error() const { return error_; }
  std::string_view method() const { return method_; }
  std::string_view target() const { return target_; }
  int version() const { return version_; }
  int status() const { return status_; }

 private:
  using View = boost::beast::string_view;
  static std::string_view std_view(View text) { return std::string_view(text.data(), text.size()); }
  void on_request_impl(http::verb, View method, View target, int version, error_code&) override {
    method_ = std_view(method);
    target_ = std_view(target);
    version_ = version;
  }
  void on_response_impl(int code, View, int version, error_code&) override {
    status_ = code;
    version_ = version;
  }
  void on_field_impl(http::field, View name, View value, error_code&) override {
    headers_->add(std_view(name), std_view(value));
  }
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(View, error_code&) override { return 0; }
  void on_chunk_header_impl(std::uint64_t, View, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, View, error_code&) override { return 0; }
  void on_finish_impl(error_code&) override {}

  Headers* headers_;
  error_code error_;
  std::string_view method_, target_;
  int version_ = 0;
  int status_ = 0;
};

// One field that may occur at most once.
enum class Once : std::uint8_t { kAbsent, kOne, kRepeated };
Once find_once(const Headers& headers, std::string_view name, std::string_view* value) {
  Once found = Once::kAbsent;
  for (const auto& [other, text] : headers) {
    if (!iequals(other, name)) continue;
    if (found == Once::kOne) return Once::kRepeated;
    found = Once::kOne;
    *value = text;
  }
  return found;
}

struct Framing {
  BodyFraming kind = BodyFraming::kNone;
  std::uint64_t length = 0;
  bool has_length = false;
};
// Content-Length and Transfer-Encoding of one message; `status` is what a server answers when it refuses.
HeadRefusal parse_framing(const Headers& headers, bool http11, Framing* framing) {
  std::string_view coding, length;
  const Once has_coding = find_once(headers, "transfer-encoding", &coding);
  const Once has_length = find_once(headers, "content-length", &length);
  if (has_length == Once::kRepeated) return HeadRefusal{400, "more than one Content-Length"};
  if (has_coding == Once::kRepeated) return HeadRefusal{400, "more than one Transfer-Encoding"};
  if (has_coding == Once::kOne) {
    if (has_length == Once::kOne) return HeadRefusal{400, "both Content-Length and Transfer-Encoding"};
    if (!http11) return HeadRefusal{400, "Transfer-Encoding in HTTP/1.0"};
    if (!iequals(coding, "chunked")) return HeadRefusal{501, "a Transfer-Encoding other than chunked"};
    framing->kind = BodyFraming::kChunked;
  } else if (has_length == Once::kOne) {
    if (!parse_content_length(length, &framing->length)) return HeadRefusal{400, "malformed Content-Length"};
    framing->has_length = true;
    framing->kind = framing->length > 0 ? BodyFraming::kLength : BodyFraming::kNone;
  }
  return HeadRefusal();
}

bool keeps_alive(const Headers& headers, bool http11) {
  if (headers.has_token("connection", "close")) return false;
  return http11 || headers.has_token("connection", "keep-alive");
}

}  // namespace

// Digits only, at most 18 of them: "+5", "5, 5", "0x5" and " 5" are read differently by different servers.
bool parse_content_length(std::string_view text, std::uint64_t* length) {
  if (text.empty() || text.size() > 18) return false;
  *length = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    *length = *length * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return true;
}

bool is_host_value(std::string_view host) {
  return std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("-._~%!$&'()*+,;=:[]").find(c) != std::string_view::npos;
  });
}

// Splits origin-form ("/path?query") and absolute-form ("http://host/path?query", whose host wins over the field).
HeadRefusal parse_request_target(std::string_view target, bool strict, HttpRequest* request) {
  for (const char c : target) {
    if (static_cast<unsigned char>(c) >= 0x80 || c == '#') return HeadRefusal{400, "malformed request target"};
  }
  if (request->method == "OPTIONS" && target == "*") {
    request->path = "*";
    return HeadRefusal();
  }
  if (!target.starts_with('/')) {
    if (strict) return HeadRefusal{400, "malformed request target"};
    const std::size_t scheme_end = target.find("://");
    const std::string_view scheme = target.substr(0, std::min(scheme_end, target.size()));
    if (scheme_end == target.npos || (!iequals(scheme, "http") && !iequals(scheme, "https"))) {
      return HeadRefusal{400, "malformed request target"};
    }
    target.remove_prefix(scheme_end + 3);
    const std::size_t host_end = std::min(target.find_first_of("/?"), target.size());
    request->host = target.substr(0, host_end);
    if (request->host.empty() || !is_host_value(request->host)) return HeadRefusal{400, "malformed request target"};
    target.remove_prefix(host_end);
  }
  const std::size_t question = std::min(target.find('?'), target.size());
  request->path = question == 0 ? std::string_view("/") : target.substr(0, question);
  request->query = question < target.size() ? target.substr(question + 1) : std::string_view();
  return HeadRefusal();
}

HeadRefusal parse_request_head(std::string_view bytes, HttpRequest* request, RequestHead* head) {
  request->headers.clear();
  request->headers.reserve(static_cast<std::size_t>(std::count(bytes.begin(), bytes.end(), '\n')), bytes.size());
  HeadParser<true> parser(&request->headers);
  if (!parser.parse(bytes)) {
    // Beast names the two cases that have a status of their own; all else is just malformed.
    if (parser.error() == http::error::bad_version)
      return HeadRefusal{505, "only HTTP/1.0 and HTTP/1.1 are spoken here"};
    if (parser.error() == http::error::bad_target) return HeadRefusal{400, "malformed request target"};
    if (parser.error() == http::error::bad_transfer_encoding || parser.error() == http::error::bad_content_length) {
      return HeadRefusal{400, "conflicting or malformed Content-Length or Transfer-Encoding"};
    }
    return HeadRefusal{400, "malformed request"};
  }
  head->http11 = parser.version() == 11;
  request->method = parser.method();
  request->host.clear();
  if (request->method == "CONNECT") return HeadRefusal{501, "CONNECT is not supported"};

  std::string_view host;
  const Once has_host = find_once(request->headers, "host", &host);
  if (has_host == Once::kRepeated) return HeadRefusal{400, "more than one Host"};
  if (has_host == Once::kAbsent && head->http11) return HeadRefusal{400, "missing Host"};
  if (!is_host_value(host)) return HeadRefusal{400, "malformed Host"};
  request->host = host;
  if (const HeadRefusal refused = parse_request_target(parser.target(), false, request); refused.status != 0)
    return refused;

  Framing framing;
  if (const HeadRefusal refused = parse_framing(request->headers, head->http11, &framing); refused.status != 0) {
    return refused;
  }
  head->framing = framing.kind;
  head->length = framing.length;
  head->keep_alive = keeps_alive(request->headers, head->http11);
  head->wants_upgrade = request->headers.has_token("connection", "upgrade") && request->headers.has("upgrade");
  const std::string_view expect = request->headers.get("expect");
  if (!expect.empty() && !iequals(expect, "100-continue")) return HeadRefusal{417, "unknown expectation"};
  head->expects_continue = !expect.empty() && head->http11 && framing.kind != BodyFraming::kNone;
  return HeadRefusal();
}

Result<ResponseHead> parse_response_head(std::string_view bytes, std::string_view request_method, Headers* headers) {
  headers->clear();
  headers->reserve(static_cast<std::size_t>(std::count(bytes.begin(), bytes.end(), '\n')), bytes.size());
  HeadParser<false> parser(headers);
  if (!parser.parse(bytes)) return Error(Code::kIo, cat("malformed HTTP response: ", parser.error().message()));
  ResponseHead head;
  head.status = parser.status();
  if (head.status < 100) return Error(Code::kIo, "malformed HTTP response: bad status");
  const bool http11 = parser.version() == 11;
  head.keep_alive = keeps_alive(*headers, http11);
  Framing framing;
  if (const HeadRefusal refused = parse_framing(*headers, http11, &framing); refused.status != 0) {
    return Error(Code::kIo, cat("malformed HTTP response: ", refused.reason));
  }
  const bool bodyless = head.status < 200 || head.status == 204 || head.status == 304 || request_method == "HEAD";
  if (bodyless) return head;
  head.framing = framing.kind;
  head.length = framing.length;
  if (framing.kind == BodyFraming::kNone && !framing.has_length) {
    head.framing = BodyFraming::kToEnd;
    head.keep_alive = false;
  }
  return head;
}

BodyDecoder::BodyDecoder(BodyFraming framing, std::uint64_t length) : framing_(framing), remaining_(length) {
  switch (framing) {
    case BodyFraming::kNone:
      state_ = State::kDone;
      break;
    case BodyFraming::kLength:
      state_ = length > 0 ? State::kData : State::kDone;
      break;
    case BodyFraming::kToEnd:
      state_ = State::kData;
      break;
    case BodyFraming::kChunked:
      state_ = State::kSize;
      break;
  }
}

BodyDecoder::Step BodyDecoder::next(std::string_view input) {
  Step step;
  while (step.consumed < input.size() && !done() && !bad()) {
    if (state_ != State::kData) {
      if (!frame_byte(static_cast<unsigned char>(input[step.consumed]))) {
        state_ = State::kBad;
        break;
      }
      ++step.consumed;
      continue;
    }
    std::string_view data = input.substr(step.consumed);
    if (framing_ != BodyFraming::kToEnd) {
      data = data.substr(0, remaining_);
      remaining_ -= data.size();
      if (remaining_ == 0) state_ = framing_ == BodyFraming::kLength ? State::kDone : State::kDataCr;
    }
    step.consumed += data.size();
    step.data = data;
    // Body bytes earn framing bytes, so that a long body may come in many chunks.
    overhead_ -= std::min<std::uint64_t>(overhead_, data.size());
    break;
  }
  return step;
}

// One byte of chunk framing; false when it is malformed.
bool BodyDecoder::frame_byte(unsigned char c) {
  constexpr std::uint64_t kMaxOverhead = 16 * 1024;
  constexpr int kMaxSizeDigits = 15;
  if ((state_ == State::kExtension || state_ == State::kTrailer) && ++overhead_ > kMaxOverhead) return false;
  switch (state_) {
    case State::kSize: {
      int digit = -1;
      if (c >= '0' && c <= '9') digit = c - '0';
      if (c >= 'a' && c <= 'f') digit = c - 'a' + 10;
      if (c >= 'A' && c <= 'F') digit = c - 'A' + 10;
      if (digit >= 0) {
        remaining_ = remaining_ * 16 + static_cast<std::uint64_t>(digit);
        return ++size_digits_ <= kMaxSizeDigits;
      }
      if (size_digits_ == 0) return false;
      if (c == '\r') {
        state_ = State::kSizeLf;
        return true;
      }
      state_ = State::kExtension;
      return c == ';' || c == ' ' || c == '\t';
    }
    case State::kExtension:
      if (c == '\r') {
        state_ = State::kSizeLf;
        return true;
      }
      return (c >= 0x20 || c == '\t') && c != 0x7f;
    case State::kSizeLf:
      size_digits_ = 0;
      state_ = remaining_ > 0 ? State::kData : State::kTrailer;
      return c == '\n';
    case State::kDataCr:
      state_ = State::kDataLf;
      return c == '\r';
    case State::kDataLf:
      state_ = State::kSize;
      return c == '\n';
    case State::kTrailer:  // fields are dropped; a blank line ends the body
      if (trailer_cr_) {
        if (c != '\n') return false;
        if (trailer_line_ == 0) state_ = State::kDone;
        trailer_cr_ = false;
        trailer_line_ = 0;
        return true;
      }
      if (c == '\r') {
        trailer_cr_ = true;
        return true;
      }
      ++trailer_line_;
      return (c >= 0x20 || c == '\t') && c != 0x7f;
    case State::kDone:
    case State::kData:
    case State::kBad:
      break;
  }
  return false;
}

}  // namespace kayak::io
