// http_common_test.cc: header fields, URLs, queries, percent-encoding, reading a whole body.
#include <catch2/catch.hpp>

#include "io/http.h"

using namespace kayak;
using namespace kayak::io;

TEST_CASE("headers keep order and compare names without case") {
  Headers headers;
  headers.add("Accept", "a");
  headers.add("X-One", "1");
  headers.add("accept", "b, Gzip ,c");
  CHECK(headers.size() == 3);
  CHECK(headers.get("ACCEPT") == "a");
  CHECK(headers.get("none") == "");
  CHECK(headers.has("x-one"));
  CHECK(headers.all("Accept") == std::vector<std::string_view>{"a", "b, Gzip ,c"});
  CHECK(headers.has_token("accept", "gzip"));
  CHECK(headers.has_token("accept", "a"));
  CHECK_FALSE(headers.has_token("accept", "zip"));

  headers.set("Accept", "c");
  std::string seen;
  for (const auto& [name, value] : headers) seen.append(name).append("=").append(value).append(";");
  CHECK(seen == "X-One=1;Accept=c;");
  headers.remove("x-ONE");
  headers.remove("absent");
  CHECK(headers.size() == 1);
  const Headers copy = headers;
  headers.clear();
  CHECK(headers.empty());
  CHECK(copy.get("accept") == "c");
}

TEST_CASE("urls") {
  struct Row {
    std::string_view text, scheme, host;
    int port;
    std::string_view path, query;
  };
  for (const Row& row : {
           Row{"https://example.com", "https", "example.com", 443, "/", ""},
           Row{"http://a:5000/v2/?x=1&y=%20", "http", "a", 5000, "/v2/", "x=1&y=%20"},
           Row{"HTTPS://10.0.0.1:6443/api#part", "https", "10.0.0.1", 6443, "/api", ""},
           Row{"http://[::1]:80/x?", "http", "::1", 80, "/x", ""},
           Row{"http://[fe80::1%25eth0]/", "http", "fe80::1%25eth0", 80, "/", ""},
           Row{"http://host?q", "http", "host", 80, "/", "q"},
           Row{"http://under_score/", "http", "under_score", 80, "/", ""},
       }) {
    CAPTURE(row.text);
    const auto url = parse_url(row.text);
    REQUIRE(url);
    CHECK(url->scheme == row.scheme);
    CHECK(url->host == row.host);
    CHECK(url->port == row.port);
    CHECK(url->path == row.path);
    CHECK(url->query == row.query);
  }
  for (const std::string_view text :
       {"", "host", "host:80/path", "ftp://host/", "http://", "http:///path", "http://user:secret@host/",
        "http://host:0/", "http://host:65536/", "http://host:/", "http://host:8x/", "http://[::1/", "http://[]/",
        "http://[::1]x/", "http://a b/", "http://a/\r\nX: y", "http://a\\b/", "http://::1/",
        "https://exa%6dple.com/"}) {
    CAPTURE(text);
    const auto url = parse_url(text);
    REQUIRE_FALSE(url);
    CHECK(url.error().code() == Code::kInvalid);
  }
}

TEST_CASE("queries") {
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  struct Row {
    std::string_view query;
    Pairs pairs;
  };
  for (const Row& row : {
           Row{"", {}},
           Row{"watch", {{"watch", ""}}},
           Row{"&&a=1&&b=&=c", {{"a", "1"}, {"b", ""}, {"", "c"}}},
           Row{"labelSelector=app%3Dweb%2Ctier+in+(a)", {{"labelSelector", "app=web,tier in (a)"}}},
           Row{"a=1&a=2=3", {{"a", "1"}, {"a", "2=3"}}},
           Row{"%61%00=%ff", {{std::string("a\0", 2), "\xff"}}},
       }) {
    CAPTURE(row.query);
    const auto pairs = parse_query(row.query);
    REQUIRE(pairs);
    CHECK(*pairs == row.pairs);
  }
  for (const std::string_view query : {"a=%", "a=%4", "%zz=1", "a=%4g&b=1", "a=1;b=2"}) {
    CAPTURE(query);
    const auto pairs = parse_query(query);
    REQUIRE_FALSE(pairs);
    CHECK(pairs.error().code() == Code::kBadRequest);
  }
}

TEST_CASE("percent encoding") {
  CHECK(percent_encode("aZ09-._~/ +%\xff") == "aZ09-._~%2F%20%2B%25%FF");
  CHECK(*percent_decode("a%2Fb+c%20") == "a/b+c ");
  CHECK_FALSE(percent_decode("%2"));
  CHECK_FALSE(percent_decode("100%"));
  std::string all;
  for (int c = 0; c < 256; ++c) all.push_back(static_cast<char>(c));
  CHECK(*percent_decode(percent_encode(all)) == all);
}

namespace {

class Pieces : public HttpBody {
 public:
  explicit Pieces(std::vector<std::string> pieces) : pieces_(std::move(pieces)) {}
  Task<Result<std::string>> read(StopToken) override {
    if (next_ == pieces_.size()) co_return std::string();
    co_return pieces_[next_++];
  }

 private:
  std::vector<std::string> pieces_;
  std::size_t next_ = 0;
};

Task<Result<void>> read_pieces(std::size_t limit, Result<std::string>* out) {
  Pieces body({"ab", "c", "def"});
  *out = co_await body.read_all(limit);
  co_return Result<void>();
}

}  // namespace

TEST_CASE("read_all stops at its limit") {
  Loop loop;
  for (const std::size_t limit : {0, 1, 5, 6, 100}) {
    CAPTURE(limit);
    Result<std::string> all = std::string();
    REQUIRE(loop.run(read_pieces(limit, &all)));
    if (limit >= 6) {
      REQUIRE(all);
      CHECK(*all == "abcdef");
    } else {
      REQUIRE_FALSE(all);
      CHECK(all.error().code() == Code::kTooLarge);
    }
  }
}
