// Networks as values and address files.
#include "net/addresses.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/strings.h"
#include "net/cidr.h"
#include "support/scratch.h"

namespace kayak::net {
namespace {

struct Folder {
  kayak::test::Scratch scratch;
  std::string path = scratch.path();
};

Cidr cidr(std::string_view text) {
  const auto parsed = Cidr::parse(text);
  REQUIRE(parsed.ok());
  return *parsed;
}

TEST_CASE("cidr: parsing") {
  struct Row {
    std::string in, out;
  };
  for (const Row& row :
       {Row{"10.42.0.0/24", "10.42.0.0/24"}, Row{"0.0.0.0/0", "0.0.0.0/0"}, Row{"fd00:42::/64", "fd00:42::/64"},
        Row{"10.42.0.1/32", "10.42.0.1/32"},
        Row{"10.42.0.1/24", "\"10.42.0.1/24\" is an address within a network, not a network"},
        Row{"10.42.0.0", "\"10.42.0.0\" is not a network like 10.42.0.0/24"},
        Row{"10.42.0.0/33", "\"10.42.0.0/33\" is not a network like 10.42.0.0/24"},
        Row{"", "\"\" is not a network like 10.42.0.0/24"},
        Row{"10.42.0/24", "\"10.42.0/24\" is not a network like 10.42.0.0/24"},
        Row{std::string("10.42.0.0\0x/24", 14), "\"10.42.0.0\\x00x/24\" is not a network like 10.42.0.0/24"},
        Row{"10.42.0.0/024", "\"10.42.0.0/024\" is not a network like 10.42.0.0/24"},
        Row{"10.42.0.0/-1", "\"10.42.0.0/-1\" is not a network like 10.42.0.0/24"}}) {
    CAPTURE(row.in);
    const auto parsed = Cidr::parse(row.in);
    CHECK((parsed ? parsed->to_string() : parsed.error().message()) == row.out);
  }
}

TEST_CASE("cidr: members and offsets") {
  const Cidr net = cidr("10.42.4.0/22");
  CHECK(net.size() == 1024);
  CHECK(net.at(1).to_string() == "10.42.4.1");
  CHECK(net.at(1023).to_string() == "10.42.7.255");
  CHECK(net.contains(*IpAddress::parse("10.42.7.9")));
  CHECK_FALSE(net.contains(*IpAddress::parse("10.42.8.0")));
  CHECK_FALSE(net.contains(*IpAddress::parse("fd00::1")));
  CHECK(cidr("fd00:42::/64").at(0x1234).to_string() == "fd00:42::1234");
}

TEST_CASE("addresses: given out once, kept over a restart, not reused at once") {
  const Folder folder;
  const std::string dir = folder.path + "/a/b";
  AddressFiles files(dir, {cidr("10.42.0.0/29"), cidr("fd00:42::/64")});
  REQUIRE(files.open().ok());
  const auto text = [](const Result<std::vector<IpAddress>>& taken) {
    if (!taken) return "error: " + taken.error().message();
    std::vector<std::string> out;
    for (const IpAddress& ip : *taken) out.push_back(ip.to_string());
    return join(out, " ");
  };
  CHECK(text(files.take("pod-a")) == "10.42.0.2 fd00:42::2");
  CHECK(text(files.take("pod-b")) == "10.42.0.3 fd00:42::3");
  CHECK(text(files.take("pod-a")) == "10.42.0.2 fd00:42::2");
  REQUIRE(files.release("pod-a").ok());
  REQUIRE(files.release("pod-a").ok());
  CHECK(text(files.take("pod-c")) == "10.42.0.4 fd00:42::4");
  CHECK(text(files.take("pod-d")) == "10.42.0.5 fd00:42::5");
  CHECK(text(files.take("pod-e")) == "10.42.0.6 fd00:42::6");
  CHECK(text(files.take("pod-f")) == "10.42.0.2 fd00:42::7");  // .7 is the broadcast address
  CHECK(text(files.take("pod-g")) == "error: no address is left in 10.42.0.0/29");
  CHECK(text(files.take("pod-g")) == "error: no address is left in 10.42.0.0/29");

  std::ofstream(dir + "/10.99.0.1") << "pod-of-another-network\n";
  std::ofstream(dir + "/10.42.0.6") << "";  // a crash between open and write
  AddressFiles again(dir, {cidr("10.42.0.0/29"), cidr("fd00:42::/64")});
  REQUIRE(again.open().ok());
  CHECK(join(again.pods(), " ") == "pod-b pod-c pod-d pod-e pod-f");
  CHECK(text(again.take("pod-b")) == "10.42.0.3 fd00:42::3");
  CHECK_FALSE(std::filesystem::exists(dir + "/10.99.0.1"));
  CHECK(text(again.take("pod-e")) == "10.42.0.6 fd00:42::6");  // its half that was lost is given again
}

TEST_CASE("addresses: a whole /24") {
  const Folder folder;
  AddressFiles files(folder.path, {cidr("10.42.0.0/24")});
  REQUIRE(files.open().ok());
  std::set<std::string> seen;
  for (int i = 0; i < 253; ++i) {
    const auto taken = files.take(cat("pod-", i));
    REQUIRE(taken.ok());
    seen.insert(taken->front().to_string());
  }
  CHECK(seen.size() == 253);
  CHECK(seen.count("10.42.0.0") + seen.count("10.42.0.1") + seen.count("10.42.0.255") == 0);
  CHECK(files.take("one-more").error().code() == Code::kNoSpace);
}

}  // namespace
}  // namespace kayak::net
