// peers_test.cc: what of its members a server keeps in members.json.
#include "cli/peers.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "base/strings.h"
#include "support/fake_group.h"

using namespace kayak;
using namespace kayak::cli;
using namespace std::chrono_literals;

namespace {

store::MemberRecord record_of(char digit, const std::string& name) {
  store::MemberRecord member;
  member.name = name;
  member.addresses = {cat("192.0.2.", digit, ":6443")};
  member.key = std::string(64, digit);
  member.id = store::member_id(member.key);
  return member;
}

struct Bed {
  Bed() : context{loop, clock, random, Log::discard(), metrics} {
    std::string name = "/tmp/kayak-peers-XXXXXX";
    folder = ::mkdtemp(name.data());
    options.cluster.self = record_of('1', "self");
    options.cluster.cluster = "00000000000000aa";
    options.members_path = folder + "/members.json";
  }
  ~Bed() { std::filesystem::remove_all(folder); }

  // The names in the file after each of `lists` was told: the first before anything runs, the others while what came
  // before is being written.
  std::string written(const std::vector<std::vector<store::MemberRecord>>& lists) {
    std::string names;
    const Result<void> ran = loop.run(tell(this, lists, &names));
    CHECK(ran.ok());
    return names;
  }

 private:
  static Task<Result<void>> tell(Bed* bed, std::vector<std::vector<store::MemberRecord>> lists, std::string* names) {
    test::FakeGroupStore store;
    Peers peers(bed->context, bed->options);
    peers.attach(store);
    peers.members_changed(lists.front());
    io::TaskScope scope;
    scope.spawn(peers.run(scope.token()));
    for (std::size_t i = 1; i < lists.size(); ++i) peers.members_changed(lists[i]);
    (void)co_await bed->loop.sleep(200ms, StopToken());
    const Result<store::MemberList> list = store::read_member_list(bed->options.members_path);
    if (list) {
      for (const store::MemberRecord& member : list->members) *names += cat(names->empty() ? "" : " ", member.name);
    }
    CHECK(peers.known().size() == lists.back().size());
    scope.stop();
    co_return co_await scope.join();
  }

  Loop loop;
  SystemClock clock;
  SystemRandom random;
  Metrics metrics;
  Context context;
  std::string folder;
  Peers::Options options;
};

}  // namespace

TEST_CASE("the list that is kept has this server in it for as long as it ever was") {
  const store::MemberRecord self = record_of('1', "self"), second = record_of('2', "second"),
                            third = record_of('3', "third");
  struct Row {
    std::vector<std::vector<store::MemberRecord>> lists;
    std::string kept;
  };
  for (const Row& row :
       {Row{{{self, second}}, "self second"}, Row{{{self, second}, {self, second, third}}, "self second third"},
        Row{{{self, second}, {second}}, "self second"},                   // removed
        Row{{{self, second}, {second}, {second, third}}, "self second"},  // and what came with that
        Row{{{second}, {second, third}}, "second third"},                 // it joins
        Row{{{second}, {second, self}, {second}}, "second self"}}) {
    CAPTURE(row.kept, row.lists.size());
    Bed bed;
    CHECK(bed.written(row.lists) == row.kept);
  }
}
