// shim_link.cc: requests to a shim, its answers and events.
#include "agent/runtime/shim_link.h"

#include <array>

#include "base/strings.h"
#include "shim/protocol.h"

namespace kayak::agent {
namespace {

std::int64_t number(std::string_view text) {
  std::int64_t value = 0;
  return parse_int64(text, &value) ? value : 0;
}

WallTime wall_from_ns(std::string_view text) {
  WallTime out;
  out.microseconds = number(text) / 1000;
  return out;
}

ShimContainer::State state_of(std::string_view name) {
  if (name == "created") return ShimContainer::State::kCreated;
  if (name == "running") return ShimContainer::State::kRunning;
  return name == "exited" ? ShimContainer::State::kExited : ShimContainer::State::kCreating;
}

// The NUL-terminated fields of a message.
std::vector<std::string> fields_of(std::string_view message) {
  std::vector<std::string> out;
  while (!message.empty()) {
    const std::size_t end = message.find('\0');
    if (end == std::string_view::npos) break;
    out.emplace_back(message.substr(0, end));
    message.remove_prefix(end + 1);
  }
  return out;
}

std::string frame(std::uint64_t id, const std::vector<std::string>& words) {
  std::string body = std::to_string(id) + '\0';
  for (const std::string& word : words) body += word + '\0';
  std::string out;
  for (int i = 0; i < 4; ++i) out.push_back(static_cast<char>(body.size() >> (8 * i)));
  return out + body;
}

}  // namespace

struct ShimLink::Pending {
  io::Event answered;
  Fields fields;  // after the id; empty: the connection was lost
  std::vector<ShimContainer>* list = nullptr;
};

ShimLink::ShimLink(Context context, io::StreamPtr stream, Handlers handlers)
    : context_(std::move(context)), stream_(std::move(stream)), handlers_(std::move(handlers)) {
  may_write_.set();
}

ShimLink::~ShimLink() { ASSERT(pending_.empty()); }

Task<Result<std::unique_ptr<ShimLink>>> ShimLink::connect(Context context, std::string directory, Handlers handlers) {
  Result<io::StreamPtr> stream = co_await io::connect_unix(context, directory + "/socket");
  if (!stream) co_return stream.error();
  std::unique_ptr<ShimLink> link(new ShimLink(context, std::move(*stream), std::move(handlers)));
  link->scope_.spawn(link->read_all());
  Fields words;
  words.push_back("hello");
  words.push_back(std::to_string(shim::kProtocolVersion));
  Result<Fields> answer = co_await link->request(std::move(words));
  if (answer) co_return std::move(link);
  co_await link->close();
  co_return Error(Code::kUnavailable, answer.error().message());
}

Task<void> ShimLink::close() {
  closing_ = true;
  scope_.stop();
  stream_->close();
  static_cast<void>(co_await scope_.join());
  fail_all();
  // Requests that were waiting look at their answers once more.
  while (!pending_.empty()) co_await context_.loop.yield();
}

void ShimLink::fail_all() {
  lost_ = true;
  for (auto& [id, pending] : pending_) pending->answered.set();
}

Task<Result<void>> ShimLink::read_all() {
  std::array<char, 512> buffer;  // kept as long as the pod lives; messages are short
  for (;;) {
    Result<std::size_t> n = co_await stream_->read(buffer, scope_.token());
    if (!n || *n == 0) break;
    unread_.append(buffer.data(), *n);
    while (unread_.size() >= 4) {
      std::size_t size = 0;
      for (int i = 0; i < 4; ++i)
        size |= std::size_t{static_cast<unsigned char>(unread_[static_cast<std::size_t>(i)])} << (8 * i);
      if (size > shim::kMaxAnswerBytes) {
        context_.log.error("a shim sends what is no message", {{"bytes", size}});
        stream_->close();
        break;
      }
      if (unread_.size() < 4 + size) break;
      const std::string message = unread_.substr(4, size);
      unread_.erase(0, 4 + size);
      take(message);
    }
  }
  fail_all();
  if (!closing_) handlers_.on_lost();
  co_return Result<void>();
}

void ShimLink::take(std::string_view message) {
  Fields fields = fields_of(message);
  if (fields.size() >= 7 && fields[0] == "0" && fields[1] == "exit") {
    ShimContainer exited;
    exited.id = fields[2];
    exited.state = ShimContainer::State::kExited;
    exited.code = static_cast<int>(number(fields[3]));
    exited.signal = static_cast<int>(number(fields[4]));
    exited.unknown = fields[5] == "1";
    exited.finished = wall_from_ns(fields[6]);
    handlers_.on_exit(exited);
    return;
  }
  if (fields.size() < 2) return;
  const auto found = pending_.find(static_cast<std::uint64_t>(number(fields[0])));
  if (found == pending_.end()) return;
  Pending& pending = *found->second;
  if (fields[1] == "container" && fields.size() >= 10) {
    if (pending.list == nullptr) return;
    ShimContainer one;
    one.id = fields[2];
    one.state = state_of(fields[3]);
    one.pid = static_cast<int>(number(fields[4]));
    one.started = wall_from_ns(fields[5]);
    one.code = static_cast<int>(number(fields[6]));
    one.signal = static_cast<int>(number(fields[7]));
    one.unknown = fields[8] == "1";
    one.finished = wall_from_ns(fields[9]);
    pending.list->push_back(std::move(one));
    return;
  }
  fields.erase(fields.begin());
  pending.fields = std::move(fields);
  pending.answered.set();
}

// The values of an "ok" answer. The shim answers always, by its own deadlines; its death ends the connection.
Task<Result<ShimLink::Fields>> ShimLink::request(Fields words, std::vector<ShimContainer>* list) {
  Pending pending;
  pending.list = list;
  const std::uint64_t id = next_id_++;
  if (lost_) co_return Error(Code::kUnavailable, "the connection to the pod's shim is lost");
  pending_[id] = &pending;
  while (writing_) {
    may_write_.reset();
    co_await may_write_.wait();
  }
  writing_ = true;
  io::Slices data;
  data.push_back(io::Slice::of(frame(id, words)));
  Result<void> written = co_await stream_->write(std::move(data));
  writing_ = false;
  may_write_.set();
  if (written) co_await pending.answered.wait();
  pending_.erase(id);
  if (!written || pending.fields.empty())
    co_return Error(Code::kUnavailable, "the connection to the pod's shim was lost");
  if (pending.fields[0] != "ok") {
    const std::string text = pending.fields.size() > 1 ? pending.fields[1] : "the shim refused";
    co_return Error(text == "not running" || text == "busy" ? Code::kConflict : Code::kInternal, text);
  }
  pending.fields.erase(pending.fields.begin());
  co_return std::move(pending.fields);
}

Task<Result<std::vector<ShimContainer>>> ShimLink::list() {
  std::vector<ShimContainer> out;
  Fields words;
  words.push_back("list");
  Result<Fields> answer = co_await request(std::move(words), &out);
  if (!answer) co_return answer.error();
  co_return out;
}

Task<Result<int>> ShimLink::create(std::string id) {
  Fields words;
  words.push_back("create");
  words.push_back(std::move(id));
  Result<Fields> answer = co_await request(std::move(words));
  if (!answer) co_return answer.error();
  co_return answer->empty() ? 0 : static_cast<int>(number(answer->front()));
}

Task<Result<WallTime>> ShimLink::start(std::string id) {
  Fields words;
  words.push_back("start");
  words.push_back(std::move(id));
  Result<Fields> answer = co_await request(std::move(words));
  if (!answer) co_return answer.error();
  co_return answer->empty() ? WallTime() : wall_from_ns(answer->front());
}

Task<Result<void>> ShimLink::kill(std::string id, int signal) {
  Fields words;
  words.push_back("kill");
  words.push_back(std::move(id));
  words.push_back(std::to_string(signal));
  Result<Fields> answer = co_await request(std::move(words));
  if (!answer) co_return answer.error();
  co_return Result<void>();
}

Task<Result<void>> ShimLink::remove(std::string id) {
  Fields words;
  words.push_back("delete");
  words.push_back(std::move(id));
  Result<Fields> answer = co_await request(std::move(words));
  if (!answer) co_return answer.error();
  co_return Result<void>();
}

Task<Result<void>> ShimLink::exit() {
  Fields words;
  words.push_back("exit");
  Result<Fields> answer = co_await request(std::move(words));
  if (!answer) co_return answer.error();
  co_return Result<void>();
}

}  // namespace kayak::agent
