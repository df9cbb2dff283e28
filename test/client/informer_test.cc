// informer_test.cc: informers over a late API: order of events, look-ups, recovery from lost watches; the recorder.
#include <catch2/catch.hpp>
#include <memory>

#include "support/fake_client.h"

using namespace kayak;
using namespace kayak::client;
using namespace std::chrono_literals;
using test::TestBed;

namespace {

const Kind& pods() { return api::kinds::pods(); }

json::Value pod(const std::string& namespace_, const std::string& name, const std::string& node = "",
                const std::string& owner = "") {
  json::Value value;
  value["metadata"]["namespace"] = namespace_;
  value["metadata"]["name"] = name;
  value["metadata"]["labels"]["app"] = "web";
  if (!owner.empty()) {
    json::Value reference;
    reference["apiVersion"] = "apps/v1";
    reference["kind"] = "ReplicaSet";
    reference["name"] = "owner";
    reference["uid"] = owner;
    reference["controller"] = true;
    json::Array owners;
    owners.push_back(std::move(reference));
    value["metadata"]["ownerReferences"] = std::move(owners);
  }
  if (!node.empty()) value["spec"]["nodeName"] = node;
  return value;
}

std::vector<std::string> names(const std::vector<ObjectRef>& objects) {
  std::vector<std::string> found;
  for (const ObjectRef& object : objects) found.push_back(cat(object->namespace_(), "/", object->name()));
  return found;
}

// Everything one handler heard, as text.
struct Diary {
  std::vector<std::string> lines;
  InformerHandler handler() {
    InformerHandler handler;
    handler.on_add = [this](const ObjectRef& o) { lines.push_back(cat("add ", o->name())); };
    handler.on_update = [this](const ObjectRef& before, const ObjectRef& o) {
      CHECK(before->revision() < o->revision());
      lines.push_back(cat("update ", o->name()));
    };
    handler.on_delete = [this](const ObjectRef& o) { lines.push_back(cat("delete ", o->name())); };
    return handler;
  }
};

using Lines = std::vector<std::string>;

// Runs `body` beside a running factory.
struct Run {
  TestBed bed;
  std::unique_ptr<InformerFactory> factory = make_informer_factory(bed.context, bed.client);

  Task<Result<void>> around(std::function<Task<void>(Run&)> body) {
    io::TaskScope scope;
    scope.spawn(factory->run(scope.token()));
    co_await body(*this);
    scope.stop();
    co_return co_await scope.join();
  }
  void go(std::function<Task<void>(Run&)> body) {
    const Result<void> done = bed.loop.run(around(std::move(body)));
    CHECK(done.ok());
  }
  Task<void> settled(Informer& informer) {
    const store::Revision revision = bed.client.revision();
    static_cast<void>(revision);
    const Result<void> synced = co_await informer.wait_for_sync();
    CHECK(synced.ok());
    for (int turns = 0; turns < 20; ++turns) {  // not one long sleep: a busy machine would make one turn of it
      const Result<void> slept = co_await bed.loop.sleep(1ms);
      CHECK(slept.ok());
    }
  }
};

}  // namespace

TEST_CASE("an informer lists, watches and tells its handlers in order") {
  struct Body {
    static Task<void> run(Run& r) {
      Informer& informer = r.factory->informer(pods());
      CHECK(&informer == &r.factory->informer(pods()));
      CHECK_FALSE(informer.synced());
      Diary diary;
      r.bed.client.put(pods(), pod("default", "a"));
      informer.add_handler(diary.handler());
      co_await r.settled(informer);
      CHECK(informer.synced());
      CHECK(diary.lines == Lines{"add a"});
      r.bed.client.put(pods(), pod("default", "b", "node-1"));
      r.bed.client.put(pods(), pod("default", "a", "node-1"));
      r.bed.client.delete_now(pods(), "default", "a");
      r.bed.client.erase(pods(), "default", "a");
      co_await r.settled(informer);
      CHECK(diary.lines == Lines{"add a", "add b", "update a", "update a", "delete a"});
      CHECK(names(informer.list()) == Lines{"default/b"});
      // A handler that comes late hears of what is there.
      Diary late;
      informer.add_handler(late.handler());
      CHECK(late.lines == Lines{"add b"});
    }
  };
  Run().go(Body::run);
}

TEST_CASE("look-ups by key, namespace, owner and field follow every change") {
  struct Body {
    static Task<void> run(Run& r) {
      auto& client = r.bed.client;
      client.put(pods(), pod("a", "p1", "n1", "uid-1"));
      client.put(pods(), pod("a", "p2", "n2", "uid-1"));
      client.put(pods(), pod("ab", "p1", "n1", "uid-2"));
      client.put(pods(), pod("b", "p1"));
      Informer& informer = r.factory->informer(pods());
      co_await r.settled(informer);
      CHECK(names(informer.list()) == Lines{"a/p1", "a/p2", "ab/p1", "b/p1"});
      CHECK(names(informer.list("a")) == Lines{"a/p1", "a/p2"});
      CHECK(informer.get("ab", "p1")->namespace_() == "ab");
      CHECK(informer.get("a", "p3") == nullptr);
      CHECK(names(informer.owned_by("uid-1")) == Lines{"a/p1", "a/p2"});
      CHECK(names(informer.orphans("b")) == Lines{"b/p1"});
      CHECK(names(informer.orphans("a")).empty());
      CHECK(names(informer.by_field("spec.nodeName", "n1")) == Lines{"a/p1", "ab/p1"});
      CHECK(names(informer.by_field("spec.nodeName", "")) == Lines{"b/p1"});
      // Change each indexed thing after the indexes were made.
      client.put(pods(), pod("b", "p1", "n1", "uid-2"));
      client.put(pods(), pod("a", "p1", "n1"));
      client.erase(pods(), "a", "p2");
      co_await r.settled(informer);
      CHECK(names(informer.orphans("b")).empty());
      CHECK(names(informer.orphans("a")) == Lines{"a/p1"});
      CHECK(names(informer.orphans("")).empty());
      CHECK(names(informer.owned_by("uid-1")).empty());
      CHECK(names(informer.owned_by("uid-2")) == Lines{"ab/p1", "b/p1"});
      CHECK(names(informer.by_field("spec.nodeName", "n1")) == Lines{"a/p1", "ab/p1", "b/p1"});
      CHECK(names(informer.by_field("spec.nodeName", "")).empty());
    }
  };
  Run().go(Body::run);
}

TEST_CASE("after an expired watch the informer lists again and tells what it missed") {
  struct Body {
    static Task<void> run(Run& r) {
      auto& client = r.bed.client;
      for (const char* name : {"gone", "kept", "changed", "reborn"}) client.put(pods(), pod("default", name));
      Informer& informer = r.factory->informer(pods());
      Diary diary;
      informer.add_handler(diary.handler());
      co_await r.settled(informer);
      diary.lines.clear();
      client.lag = 1h;  // the watch hears nothing of what follows
      client.erase(pods(), "default", "gone");
      client.put(pods(), pod("default", "changed", "n1"));
      client.erase(pods(), "default", "reborn");
      client.put(pods(), pod("default", "reborn"));
      client.put(pods(), pod("default", "new"));
      client.compact();
      client.lag = 1ms;
      const bool heard = co_await r.bed.until([&] { return informer.get("default", "new") != nullptr; });
      CHECK(heard);
      CHECK(diary.lines == Lines{"delete gone", "delete reborn", "update changed", "add new", "add reborn"});
      CHECK(names(informer.list()) == Lines{"default/changed", "default/kept", "default/new", "default/reborn"});
    }
  };
  Run().go(Body::run);
}

TEST_CASE("a dropped watch goes on where it was, without a new list") {
  struct Body {
    static Task<void> run(Run& r) {
      auto& client = r.bed.client;
      int lists = 0;
      client.refuse = [&lists](std::string_view verb, const Kind&, const std::string&, const std::string&) {
        lists += verb == "list" ? 1 : 0;
        return std::optional<Error>();
      };
      Informer& informer = r.factory->informer(pods());
      Diary diary;
      informer.add_handler(diary.handler());
      client.put(pods(), pod("default", "a"));
      co_await r.settled(informer);
      client.drop_watches();
      client.put(pods(), pod("default", "b"));
      const bool heard = co_await r.bed.until([&] { return diary.lines.size() == 2; });
      CHECK(heard);
      CHECK(diary.lines == Lines{"add a", "add b"});
      CHECK(lists == 1);
      client.refuse = nullptr;
    }
  };
  Run().go(Body::run);
}

TEST_CASE("an informer waits until it may list") {
  struct Body {
    static Task<void> run(Run& r) {
      auto& client = r.bed.client;
      int refusals = 3;
      client.refuse = [&refusals](std::string_view verb, const Kind&, const std::string&, const std::string&) {
        if (verb != "list" || refusals-- <= 0) return std::optional<Error>();
        return std::optional<Error>(Error(Code::kUnavailable, "starting"));
      };
      client.put(pods(), pod("default", "a"));
      Informer& informer = r.factory->informer(pods());
      const Result<void> synced = co_await informer.wait_for_sync();
      CHECK(synced.ok());
      CHECK(informer.list().size() == 1);
      CHECK(refusals == -1);
      client.refuse = nullptr;
    }
  };
  Run().go(Body::run);
}

TEST_CASE("an informer of a selector sees objects come and go with their labels") {
  struct Body {
    static Task<void> run(Run& r) {
      auto& client = r.bed.client;
      ListOptions options;
      options.fields = api::FieldSelector::equals("spec.nodeName", "n1");
      Informer& informer = r.factory->informer(pods(), options);
      CHECK(&informer != &r.factory->informer(pods()));
      Diary diary;
      informer.add_handler(diary.handler());
      client.put(pods(), pod("default", "a", "n1"));
      client.put(pods(), pod("default", "b"));
      co_await r.settled(informer);
      client.put(pods(), pod("default", "b", "n1"));
      client.put(pods(), pod("default", "a", "n2"));
      co_await r.settled(informer);
      CHECK(diary.lines == Lines{"add a", "add b", "delete a"});
    }
  };
  Run().go(Body::run);
}

namespace {

struct RecorderRun {
  TestBed bed;
  Task<Result<void>> record(std::function<Task<void>(RecorderRun&, EventRecorder&)> body) {
    io::TaskScope scope;
    auto recorder = make_event_recorder(bed.context, bed.client, "tester", "", scope);
    co_await body(*this, *recorder);
    scope.stop();
    co_return co_await scope.join();
  }
};

}  // namespace

TEST_CASE("events are created, then counted, and created again when they have expired") {
  struct Body {
    static Task<void> run(RecorderRun& r, EventRecorder& recorder) {
      auto& client = r.bed.client;
      const Kind& events = api::kinds::events();
      const ObjectRef object = client.put(pods(), pod("default", "web"));
      recorder.event(object, "Normal", "Started", "hello");
      const bool created = co_await r.bed.until([&] { return client.all(events).size() == 1; });
      CHECK(created);
      recorder.event(object, "Normal", "Started", "hello");
      const bool counted =
          co_await r.bed.until([&] { return client.all(events)[0]->document()->find("count")->as_int() == 2; });
      CHECK(counted);
      client.erase(events, "default", client.all(events)[0]->name());
      recorder.event(object, "Normal", "Started", "hello");
      const bool again = co_await r.bed.until([&] { return client.all(events).size() == 1; });
      CHECK(again);
      CHECK(client.all(events)[0]->document()->find("count")->as_int() == 3);
      CHECK(client.all(events)[0]->document()->at({"involvedObject", "uid"})->as_string() == object->uid());
    }
  };
  RecorderRun run;
  CHECK(run.bed.loop.run(run.record(Body::run)).ok());
}

TEST_CASE("a refused event costs nothing else") {
  struct Body {
    static Task<void> run(RecorderRun& r, EventRecorder& recorder) {
      auto& client = r.bed.client;
      const ObjectRef object = client.put(pods(), pod("default", "web"));
      client.refuse = [](std::string_view verb, const Kind&, const std::string& namespace_, const std::string&) {
        if (verb == "create" && namespace_ == "default") {
          return std::optional<Error>(Error(Code::kForbidden, "namespace is being terminated"));
        }
        return std::optional<Error>();
      };
      recorder.event(object, "Normal", "A", "refused");
      recorder.event(client.put(pods(), pod("other", "web")), "Normal", "B", "taken");
      const bool created = co_await r.bed.until([&] { return client.all(api::kinds::events()).size() == 1; });
      CHECK(created);
      CHECK(client.all(api::kinds::events())[0]->document()->find("reason")->as_string() == "B");
      client.refuse = nullptr;
    }
  };
  RecorderRun run;
  CHECK(run.bed.loop.run(run.record(Body::run)).ok());
}
