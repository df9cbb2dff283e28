// log_reader.cc: see log_reader.h.
#include "agent/logs/log_reader.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/fd.h"
#include "base/strings.h"
#include "io/stream.h"

namespace kayak::agent {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t kChunk = 64 * 1024;
// A line is at most 16 KiB of text by the writer's own limit; more without a line end is not a log of ours.
constexpr std::size_t kMaxLine = 1 << 20;
// While a log is followed its container is asked after this often, as an exit writes nothing to the log.
constexpr Duration kExitCheck = 500ms;

struct Piece {
  std::string bytes;
  int error = 0;
};

std::string folder_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

}  // namespace

bool parse_log_line(std::string_view line, LogLine* out) {
  const std::size_t first = line.find(' ');
  if (first == std::string_view::npos) return false;
  const std::size_t second = line.find(' ', first + 1);
  if (second == std::string_view::npos) return false;
  const std::size_t third = std::min(line.find(' ', second + 1), line.size());
  out->timestamp = line.substr(0, first);
  out->stream = line.substr(first + 1, second - first - 1);
  const std::string_view tags = line.substr(second + 1, third - second - 1);
  out->partial = tags.substr(0, tags.find(':')) == "P";
  out->text = third < line.size() ? line.substr(third + 1) : std::string_view();
  return out->stream == "stdout" || out->stream == "stderr";
}

std::int64_t find_tail(int fd, std::int64_t lines) {
  const std::int64_t size = ::lseek(fd, 0, SEEK_END);
  if (size <= 0) return 0;
  if (lines <= 0) return size;
  std::string block(kChunk, '\0');
  std::int64_t end = size, seen = 0;
  while (end > 0) {
    const std::int64_t begin = std::max<std::int64_t>(0, end - static_cast<std::int64_t>(kChunk));
    const ssize_t got = ::pread(fd, block.data(), static_cast<std::size_t>(end - begin), begin);
    if (got <= 0) return 0;
    for (std::int64_t i = got - 1; i >= 0; --i) {
      // The line end of the last line ends it, it does not begin another.
      if (block[static_cast<std::size_t>(i)] != '\n' || begin + i == size - 1) continue;
      if (++seen == lines) return begin + i + 1;
    }
    end = begin;
  }
  return 0;
}

class LogBody final : public io::HttpBody {
 public:
  LogBody(Context context, std::string path, LogReadOptions options)
      : context_(std::move(context)), path_(std::move(path)), options_(std::move(options)) {}

  Task<Result<void>> open() {
    auto work = [path = path_, tail = options_.tail_lines]() {
      struct Opened {
        Fd fd;
        std::int64_t start = 0;
        int error = 0;
      } opened;
      opened.fd = Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
      if (!opened.fd) opened.error = errno;
      if (opened.fd && tail) opened.start = find_tail(opened.fd.get(), *tail);
      return opened;
    };
    auto opened = co_await context_.loop.offload(std::move(work));
    if (!opened.fd) co_return error_from_errno(opened.error, cat("opening the log ", path_));
    file_ = std::move(opened.fd);
    offset_ = opened.start;
    if (!options_.follow) co_return Result<void>();
    Fd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!watch || ::inotify_add_watch(watch.get(), folder_of(path_).c_str(), IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0) {
      co_return error_from_errno(errno, cat("watching ", path_));
    }
    Result<io::StreamPtr> stream = io::adopt_fd(context_, std::move(watch));
    if (!stream) co_return stream.error();
    changes_ = std::move(*stream);
    co_return Result<void>();
  }

  Task<Result<std::string>> read(StopToken stop) override {
    while (!finished_) {
      Result<bool> more = co_await fill(stop);
      if (!more) co_return more.error();
      std::string out = take_lines();
      if (!out.empty()) co_return out;
      if (*more) continue;
      if (!options_.follow) break;
      Result<bool> wait = co_await wait_for_more(stop);
      if (!wait) co_return wait.error();
      if (!*wait) break;
    }
    finished_ = true;
    co_return std::string();
  }

 private:
  // Reads on; false at the end of what is there.
  Task<Result<bool>> fill(StopToken stop) {
    if (stop.stopped()) co_return Error(Code::kCancelled, "reading a log was stopped");
    auto work = [fd = file_.get(), offset = offset_] {
      Piece piece;
      piece.bytes.resize(kChunk);
      const ssize_t got = ::pread(fd, piece.bytes.data(), piece.bytes.size(), offset);
      if (got < 0) piece.error = errno;
      piece.bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
      return piece;
    };
    Piece piece = co_await context_.loop.offload(std::move(work));
    if (piece.error != 0) co_return error_from_errno(piece.error, cat("reading the log ", path_));
    offset_ += static_cast<std::int64_t>(piece.bytes.size());
    pending_ += piece.bytes;
    if (pending_.size() > kMaxLine + kChunk && pending_.find('\n') == std::string::npos) pending_.clear();
    co_return !piece.bytes.empty();
  }

  // Whole lines of `pending_` as they are shown.
  std::string take_lines() {
    std::string out;
    std::size_t start = 0;
    for (std::size_t end; (end = pending_.find('\n', start)) != std::string::npos; start = end + 1) {
      add_line(std::string_view(pending_).substr(start, end - start), out);
      if (finished_) break;
    }
    pending_.erase(0, start);
    return out;
  }

  void add_line(std::string_view raw, std::string& out) {
    LogLine line;
    if (!parse_log_line(raw, &line)) return;
    if (options_.stream == "Stdout" && line.stream != "stdout") return;
    if (options_.stream == "Stderr" && line.stream != "stderr") return;
    WallTime time;
    if (options_.since && parse_time(line.timestamp, &time) && time < *options_.since) return;
    const std::size_t before = out.size();
    // Pieces of one long line show one time stamp.
    if (options_.timestamps && !inside_line_) out += cat(line.timestamp, " ");
    out += line.text;
    if (!line.partial) out += '\n';
    inside_line_ = line.partial;
    if (!options_.limit_bytes) return;
    const std::int64_t grown = static_cast<std::int64_t>(out.size() - before);
    if (sent_ + grown >= *options_.limit_bytes) {
      out.resize(before + static_cast<std::size_t>(std::max<std::int64_t>(*options_.limit_bytes - sent_, 0)));
      finished_ = true;
    }
    sent_ += grown;
  }

  // False when nothing more will come.
  Task<Result<bool>> wait_for_more(StopToken stop) {
    struct stat ours {
    }, there{};
    ::fstat(file_.get(), &ours);
    if (ours.st_size > offset_) co_return true;
    if (::stat(path_.c_str(), &there) == 0 && (there.st_ino != ours.st_ino || there.st_dev != ours.st_dev)) {
      Fd next(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
      if (next) {
        file_ = std::move(next);
        offset_ = 0;
        co_return true;
      }
    }
    if (last_look_) co_return false;
    // What it wrote between our last read and its end is read once more.
    if (!options_.running || !options_.running()) {
      last_look_ = true;
      co_return true;
    }
    char events[4096];
    io::Deadline deadline(context_.loop, kExitCheck, stop);
    Result<std::size_t> got = co_await changes_->read(std::span<char>(events), deadline.token());
    if (!got && !deadline.expired()) co_return got.error();
    co_return true;
  }

  Context context_;
  std::string path_;
  LogReadOptions options_;
  Fd file_;
  std::int64_t offset_ = 0, sent_ = 0;
  std::string pending_;
  bool inside_line_ = false, finished_ = false, last_look_ = false;
  io::StreamPtr changes_;
};

Task<Result<std::unique_ptr<io::HttpBody>>> open_log(Context context, std::string path, LogReadOptions options,
                                                     StopToken stop) {
  if (stop.stopped()) co_return Error(Code::kCancelled, "stopped");
  auto body = std::make_unique<LogBody>(std::move(context), std::move(path), std::move(options));
  Result<void> opened = co_await body->open();
  if (!opened) co_return opened.error();
  co_return std::unique_ptr<io::HttpBody>(std::move(body));
}

}  // namespace kayak::agent
