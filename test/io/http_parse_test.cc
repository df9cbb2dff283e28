// http_parse_test.cc: HTTP/1.1 heads and body framing from bytes; the rows that two parsers could read in two ways.
#include "io/http_parse.h"

#include <catch2/catch.hpp>

#include "base/strings.h"

using namespace kayak;
using namespace kayak::io;

namespace {

struct Parsed {
  int status = 0;  // 0: taken; -1: more is needed
  std::string reason;
  HttpRequest request;
  RequestHead head;
};

// As the server does it: scan, then parse. `step` bytes arrive at a time.
Parsed parse(std::string_view bytes, std::size_t step = 1'000'000, HttpLimits limits = HttpLimits()) {
  Parsed parsed;
  HeadScanner scanner(limits.max_header_bytes, limits.max_headers);
  HeadScanner::Found found = HeadScanner::Found::kMore;
  for (std::size_t end = 0; found == HeadScanner::Found::kMore && end < bytes.size();) {
    end = std::min(end + step, bytes.size());
    found = scanner.scan(bytes.substr(0, end));
  }
  switch (found) {
    case HeadScanner::Found::kMore:
      parsed.status = -1;
      return parsed;
    case HeadScanner::Found::kBad:
      parsed.status = 400;
      return parsed;
    case HeadScanner::Found::kTooLarge:
      parsed.status = 431;
      return parsed;
    case HeadScanner::Found::kLineTooLong:
      parsed.status = 414;
      return parsed;
    case HeadScanner::Found::kEnd:
      break;
  }
  const HeadRefusal refused = parse_request_head(bytes.substr(0, scanner.size()), &parsed.request, &parsed.head);
  parsed.status = refused.status;
  parsed.reason = refused.reason;
  return parsed;
}

}  // namespace

TEST_CASE("request heads") {
  const Parsed parsed = parse(
      "POST /api/v1/pods?watch=1&x=%20 HTTP/1.1\r\nHost: a:6443\r\nX-A:\t b c \t\r\nX-Empty:\r\n"
      "content-length: 12\r\n\r\nhello");
  REQUIRE(parsed.status == 0);
  CHECK(parsed.request.method == "POST");
  CHECK(parsed.request.path == "/api/v1/pods");
  CHECK(parsed.request.query == "watch=1&x=%20");
  CHECK(parsed.request.host == "a:6443");
  CHECK(parsed.request.headers.get("x-a") == "b c");
  CHECK(parsed.request.headers.has("X-Empty"));
  CHECK(parsed.head.framing == BodyFraming::kLength);
  CHECK(parsed.head.length == 12);
  CHECK(parsed.head.keep_alive);

  struct Row {
    std::string_view text, path, query, host;
  };
  for (const Row& row : {
           Row{"GET http://b:1/p?q HTTP/1.1\r\nHost: a\r\n\r\n", "/p", "q", "b:1"},
           Row{"GET https://b HTTP/1.1\r\nHost: a\r\n\r\n", "/", "", "b"},
           Row{"GET http://b?q HTTP/1.1\r\nHost: a\r\n\r\n", "/", "q", "b"},
           Row{"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "*", "", "a"},
           Row{"GET /? HTTP/1.1\r\nHost:\r\n\r\n", "/", "", ""},
           Row{"GET //x/../y%2f HTTP/1.0\r\n\r\n", "//x/../y%2f", "", ""},
           Row{"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "/", "", "[::1]:80"},
       }) {
    CAPTURE(row.text);
    for (const std::size_t step : {1, 7, 1000}) {
      const Parsed one = parse(row.text, step);
      CHECK(one.status == 0);
      CHECK(one.request.path == row.path);
      CHECK(one.request.query == row.query);
      CHECK(one.request.host == row.host);
    }
  }
}

TEST_CASE("connection, expect and upgrade fields") {
  struct Row {
    std::string_view version, fields;
    bool keep_alive, expects, upgrade;
  };
  for (const Row& row : {
           Row{"1.1", "", true, false, false},
           Row{"1.1", "Connection: close\r\n", false, false, false},
           Row{"1.1", "Connection: foo , CLOSE\r\n", false, false, false},
           Row{"1.1", "Connection: keep-alive\r\nConnection: close\r\n", false, false, false},
           Row{"1.0", "", false, false, false},
           Row{"1.0", "Connection: Keep-Alive\r\n", true, false, false},
           Row{"1.1", "Expect: 100-Continue\r\nContent-Length: 1\r\n", true, true, false},
           Row{"1.1", "Expect: 100-continue\r\n", true, false, false},
           Row{"1.0", "Expect: 100-continue\r\nContent-Length: 1\r\n", false, false, false},
           Row{"1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n", true, false, true},
           Row{"1.1", "Upgrade: websocket\r\n", true, false, false},
       }) {
    CAPTURE(row.version, row.fields);
    const Parsed parsed = parse(cat("GET / HTTP/", row.version, "\r\nHost: a\r\n", row.fields, "\r\n"));
    REQUIRE(parsed.status == 0);
    CHECK(parsed.head.keep_alive == row.keep_alive);
    CHECK(parsed.head.expects_continue == row.expects);
    CHECK(parsed.head.wants_upgrade == row.upgrade);
  }
}

TEST_CASE("refused request heads, smuggling among them") {
  struct Row {
    std::string_view what;
    std::string text;
    int status;
  };
  const std::string host = "Host: a\r\n";
  const auto get = [&](std::string_view fields) { return cat("GET / HTTP/1.1\r\nHost: a\r\n", fields, "\r\n"); };
  const Row rows[] = {
      {"length and chunked", get("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400},
      {"chunked and length", get("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400},
      {"two lengths", get("Content-Length: 5\r\nContent-Length: 6\r\n"), 400},
      {"two equal lengths", get("Content-Length: 5\r\nContent-Length: 5\r\n"), 400},
      {"length list", get("Content-Length: 5, 5\r\n"), 400},
      {"signed length", get("Content-Length: +5\r\n"), 400},
      {"negative length", get("Content-Length: -5\r\n"), 400},
      {"hexadecimal length", get("Content-Length: 0x5\r\n"), 400},
      {"empty length", get("Content-Length: \r\n"), 400},
      {"length with a blank", get("Content-Length: 1 2\r\n"), 400},
      {"length over 64 bits", get("Content-Length: 18446744073709551617\r\n"), 400},
      {"length over ours", get("Content-Length: 1000000000000000000\r\n"), 400},
      {"other coding", get("Transfer-Encoding: gzip\r\n"), 501},
      {"coding list", get("Transfer-Encoding: gzip, chunked\r\n"), 501},
      {"chunked twice in a list", get("Transfer-Encoding: chunked, chunked\r\n"), 501},
      {"identity", get("Transfer-Encoding: identity\r\n"), 501},
      {"quoted coding", get("Transfer-Encoding: \"chunked\"\r\n"), 501},
      {"prefixed coding", get("Transfer-Encoding: xchunked\r\n"), 501},
      {"coding with parameter", get("Transfer-Encoding: chunked;x=1\r\n"), 501},
      {"empty coding", get("Transfer-Encoding:\r\n"), 501},
      {"two codings", get("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400},
      {"hidden second coding", get("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"), 400},
      {"coding with a vertical tab", get("Transfer-Encoding:\x0b chunked\r\n"), 400},
      {"blank before the colon", get("Transfer-Encoding : chunked\r\n"), 400},
      {"tab before the colon", get("Content-Length\t: 5\r\n"), 400},
      {"chunked in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"no host", "GET / HTTP/1.1\r\n\r\n", 400},
      {"two hosts", get("Host: a\r\n"), 400},
      {"two hosts, other case", get("hOST: b\r\n"), 400},
      {"host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
      {"host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400},
      {"host with a blank", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
      {"folded line", get("X: a\r\n b\r\n"), 400},
      {"folded line with tab", get("X: a\r\n\tTransfer-Encoding: chunked\r\n"), 400},
      {"folded first line", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
      {"bare LF", "GET / HTTP/1.1\nHost: a\n\n", 400},
      {"bare LF in a field", get("X: a\nTransfer-Encoding: chunked\r\n"), 400},
      {"bare CR", get("X: a\rb\r\n"), 400},
      {"CR CR LF", get("X: a\r\r\n"), 400},
      {"NUL", cat("GET / HTTP/1.1\r\nHost: a\r\nX: ", std::string(1, '\0'), "\r\n\r\n"), 400},
      {"DEL", get("X: \x7f\r\n"), 400},
      {"no colon", get("nonsense\r\n"), 400},
      {"empty name", get(": x\r\n"), 400},
      {"name with a bracket", get("a(b): x\r\n"), 400},
      {"name in UTF-8", get("n\xc3\xa4me: x\r\n"), 400},
      {"no target", "GET HTTP/1.1\r\n" + host + "\r\n", 400},
      {"two blanks", "GET  / HTTP/1.1\r\n" + host + "\r\n", 400},
      {"target with a blank", "GET /a b HTTP/1.1\r\n" + host + "\r\n", 505},
      {"tab for a blank", "GET\t/ HTTP/1.1\r\n" + host + "\r\n", 400},
      {"relative target", "GET api HTTP/1.1\r\n" + host + "\r\n", 400},
      {"fragment", "GET /a#b HTTP/1.1\r\n" + host + "\r\n", 400},
      {"raw UTF-8 in the target", "GET /\xc3\xa4 HTTP/1.1\r\n" + host + "\r\n", 400},
      {"other scheme", "GET file:///etc/passwd HTTP/1.1\r\n" + host + "\r\n", 400},
      {"absolute without host", "GET http:///x HTTP/1.1\r\n" + host + "\r\n", 400},
      {"absolute with a user", "GET http://u@h/x HTTP/1.1\r\n" + host + "\r\n", 400},
      {"asterisk", "GET * HTTP/1.1\r\n" + host + "\r\n", 400},
      {"connect", "CONNECT a:443 HTTP/1.1\r\n" + host + "\r\n", 501},
      {"bad method", "G=T / HTTP/1.1\r\n" + host + "\r\n", 400},
      {"empty method", " / HTTP/1.1\r\n" + host + "\r\n", 400},
      {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"HTTP/1.2", "GET / HTTP/1.2\r\n" + host + "\r\n", 505},
      {"HTTP/0.9", "GET /\r\n\r\n", 400},
      {"lower-case version", "GET / http/1.1\r\n" + host + "\r\n", 505},
      {"version with a tail", "GET / HTTP/1.11\r\n" + host + "\r\n", 505},
      {"blank line first", "\r\nGET / HTTP/1.1\r\n" + host + "\r\n", 400},
      {"unknown expectation", get("Expect: wonders\r\n"), 417},
      {"TLS hello", "\x16\x03\x01\x02", 400},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    for (const std::size_t step : {1, 1000}) {
      const Parsed parsed = parse(row.text, step);
      CAPTURE(parsed.reason);
      CHECK(parsed.status == row.status);
    }
  }
}

TEST_CASE("limits of request heads") {
  HttpLimits limits;
  limits.max_header_bytes = 1024;
  limits.max_headers = 10;
  const auto with_field = [](std::size_t size) {
    return cat("GET / HTTP/1.1\r\nHost: a\r\nX: ", std::string(size, 'x'), "\r\n\r\n");
  };
  const std::size_t rest = with_field(0).size();
  CHECK(parse(with_field(1024 - rest), 10, limits).status == 0);
  CHECK(parse(with_field(1024 - rest + 1), 10, limits).status == 431);
  CHECK(parse(with_field(1'000'000), 1000, limits).status == 431);
  CHECK(parse(std::string(2000, 'a'), 10, limits).status == 414);
  CHECK(parse(cat("GET /", std::string(600, 'a')), 10, limits).status == 414);
  std::string fields;
  for (int i = 0; i < 9; ++i) fields += "X: y\r\n";
  CHECK(parse(cat("GET / HTTP/1.1\r\nHost: a\r\n", fields, "\r\n"), 10, limits).status == 0);
  CHECK(parse(cat("GET / HTTP/1.1\r\nHost: a\r\nX: z\r\n", fields, "\r\n"), 10, limits).status == 431);
}

namespace {

struct Decoded {
  std::string body;
  std::size_t used = 0;
  bool done = false, bad = false;
};
Decoded decode(std::string_view bytes, std::size_t step, BodyFraming framing, std::uint64_t length = 0) {
  Decoded decoded;
  BodyDecoder decoder(framing, length);
  std::size_t end = 0;
  while (!decoder.done() && !decoder.bad() && end < bytes.size()) {
    end = std::min(end + step, bytes.size());
    while (decoded.used < end) {
      const BodyDecoder::Step got = decoder.next(bytes.substr(decoded.used, end - decoded.used));
      decoded.body.append(got.data);
      decoded.used += got.consumed;
      if (got.consumed == 0 || decoder.done() || decoder.bad()) break;
    }
  }
  decoded.done = decoder.done();
  decoded.bad = decoder.bad();
  return decoded;
}

}  // namespace

TEST_CASE("chunked bodies") {
  struct Row {
    std::string_view what;
    std::string text;
    bool done, bad;
    std::string_view body;
    std::size_t left;  // bytes that belong to the next message
  };
  const Row rows[] = {
      {"empty", "0\r\n\r\nGET", true, false, "", 3},
      {"two chunks", "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", true, false, "abc0123456789", 0},
      {"leading zeros, lower case", "00f\r\n0123456789abcde\r\n000\r\n\r\n", true, false, "0123456789abcde", 0},
      {"extensions", "1;a=b;c=\"d e\"\r\nx\r\n0;last\r\n\r\n", true, false, "x", 0},
      {"blank before the extension", "1 ;a\r\nx\r\n0\r\n\r\n", true, false, "x", 0},
      {"trailers are dropped", "1\r\nx\r\n0\r\nA: b\r\nContent-Length: 7\r\n\r\nrest", true, false, "x", 4},
      {"cut in the data", "5\r\nab", false, false, "ab", 0},
      {"cut in the size", "5", false, false, "", 0},
      {"no last line", "0\r\n", false, false, "", 0},
      {"no size", "\r\nabc", false, true, "", 5},
      {"not hexadecimal", "g\r\n", false, true, "", 3},
      {"0x", "0x5\r\nabcde\r\n", false, true, "", 0},
      {"sign", "+5\r\nabcde\r\n", false, true, "", 0},
      {"blank first", " 5\r\nabcde\r\n", false, true, "", 0},
      {"bare LF after the size (CVE-2025-22871)", "5\nabcde\r\n0\r\n\r\n", false, true, "", 0},
      {"bare LF in an extension", "5;a\nabcde\r\n0\r\n\r\n", false, true, "", 0},
      {"bare CR in an extension", "5;a\rb\r\nabcde\r\n", false, true, "", 0},
      {"LF after the data", "1\r\nx\n0\r\n\r\n", false, true, "x", 0},
      {"data longer than its size", "1\r\nxy\r\n0\r\n\r\n", false, true, "x", 0},
      {"LF in a trailer", "0\r\nA: b\n\r\n", false, true, "", 0},
      {"size over 60 bits", "1000000000000000\r\n", false, true, "", 0},
      {"endless zeros", std::string(100, '0'), false, true, "", 0},
      {"extensions without end (CVE-2023-39326)", "1;" + std::string(20'000, 'x'), false, true, "", 0},
      {"trailers without end", "0\r\n" + std::string(20'000, 'x'), false, true, "", 0},
      {"control character in a trailer", std::string("0\r\nA: \0", 7), false, true, "", 0},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    for (const std::size_t step : {1, 2, 3, 100'000}) {
      CAPTURE(step);
      const Decoded decoded = decode(row.text, step, BodyFraming::kChunked);
      CHECK(decoded.done == row.done);
      CHECK(decoded.bad == row.bad);
      CHECK(decoded.body == row.body);
      if (decoded.done) CHECK(row.text.size() - decoded.used == row.left);
    }
  }
  std::string many, expected;
  for (int i = 0; i < 50'000; ++i) many += "1\r\nx\r\n";
  CHECK(decode(many + "0\r\n\r\n", 1000, BodyFraming::kChunked).body == std::string(50'000, 'x'));
}

TEST_CASE("bodies by length and to the end") {
  CHECK(decode("abcdefg", 2, BodyFraming::kLength, 5).body == "abcde");
  CHECK(decode("abcdefg", 2, BodyFraming::kLength, 5).used == 5);
  CHECK(decode("abc", 2, BodyFraming::kLength, 5).done == false);
  CHECK(BodyDecoder(BodyFraming::kNone, 0).done());
  CHECK(decode("abcdefg", 3, BodyFraming::kToEnd).body == "abcdefg");
  CHECK(decode("abcdefg", 3, BodyFraming::kToEnd).done == false);
}

TEST_CASE("response heads") {
  struct Row {
    std::string_view method, text;
    int status;  // 0: refused
    BodyFraming framing;
    std::uint64_t length;
    bool keep_alive;
  };
  using F = BodyFraming;
  for (const Row& row : {
           Row{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", 200, F::kLength, 3, true},
           Row{"GET", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", 200, F::kNone, 0, true},
           Row{"GET", "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: Chunked\r\n\r\n", 404, F::kChunked, 0, true},
           Row{"GET", "HTTP/1.1 200 OK\r\n\r\n", 200, F::kToEnd, 0, false},
           Row{"GET", "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", 200, F::kLength, 3, false},
           Row{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n", 200, F::kLength, 3, false},
           Row{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", 200, F::kNone, 0, true},
           Row{"GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, F::kNone, 0, true},
           Row{"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", 304, F::kNone, 0, true},
           Row{"GET", "HTTP/1.1 100 Continue\r\n\r\n", 100, F::kNone, 0, true},
           Row{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", 0, F::kNone, 0, false},
           Row{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 0, F::kNone, 0,
               false},
           Row{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", 0, F::kNone, 0, false},
           Row{"GET", "HTTP/1.1 99 Low\r\n\r\n", 0, F::kNone, 0, false},
           Row{"GET", "HTTP/1.1 099 Low\r\n\r\n", 0, F::kNone, 0, false},
           Row{"GET", "HTTP/2 200\r\n\r\n", 0, F::kNone, 0, false},
           Row{"GET", "ICY 200 OK\r\n\r\n", 0, F::kNone, 0, false},
           Row{"GET", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", 0, F::kNone, 0, false},
       }) {
    CAPTURE(row.method, row.text);
    Headers headers;
    const auto head = parse_response_head(row.text, row.method, &headers);
    REQUIRE(head.ok() == (row.status != 0));
    if (!head) {
      CHECK(head.error().code() == Code::kIo);
      continue;
    }
    CHECK(head->status == row.status);
    CHECK(head->framing == row.framing);
    CHECK(head->length == row.length);
    CHECK(head->keep_alive == row.keep_alive);
  }
}
