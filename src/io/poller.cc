// poller.cc: the epoll set behind poller.h.
#include "io/poller.h"

#include <sys/epoll.h>
#include <uv.h>

#include <cerrno>

#include "io/loop.h"
#include "io/stall_watch.h"

namespace kayak::io {

struct Poller::Handle {
  uv_poll_t uv;
};

void Poller::HandleCloser::operator()(Handle* handle) const {
  uv_close(reinterpret_cast<uv_handle_t*>(&handle->uv),
           [](uv_handle_t* h) { delete reinterpret_cast<Handle*>(reinterpret_cast<uv_poll_t*>(h)); });
}

Poller::Poller(uv_loop_s* loop) : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  ASSERT(epoll_);
  auto* handle = new Handle;
  ASSERT(uv_poll_init(loop, &handle->uv, epoll_.get()) == 0);
  handle_.reset(handle);
  handle->uv.data = this;
  auto on_ready = [](uv_poll_t* h, int, int) { static_cast<Poller*>(h->data)->dispatch(); };
  ASSERT(uv_poll_start(&handle->uv, UV_READABLE, on_ready) == 0);
  uv_unref(reinterpret_cast<uv_handle_t*>(&handle->uv));
}

Poller::~Poller() {
  ASSERT(watchers_ == 0);
  uv_poll_stop(&handle_->uv);
}

Result<void> Poller::add(int fd, std::uint32_t events, Watcher& watcher) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &watcher;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    if (errno == EPERM) return Error(Code::kInvalid, "this kind of file cannot be waited for");
    return error_from_errno(errno, "epoll_ctl");
  }
  ++watchers_;
  return Result<void>();
}

void Poller::change(int fd, std::uint32_t events, Watcher& watcher) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &watcher;
  ASSERT(::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0);
}

void Poller::remove(int fd, Watcher& watcher) {
  ASSERT(::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr) == 0);
  ASSERT(watchers_ > 0);
  --watchers_;
  for (std::size_t i = 0; i < batch_size_; ++i) {
    if (batch_[i] == &watcher) batch_[i] = nullptr;
  }
}

void Poller::dispatch() {
  StallWatch& stalls = static_cast<Loop*>(handle_->uv.loop->data)->stalls();
  stalls.begin();
  read_events();
  stalls.end_piece("sockets");
}

void Poller::read_events() {
  // A few rounds at most: the ready queue and the timers have to get their turn.
  for (int round = 0; round < 4; ++round) {
    std::array<epoll_event, std::tuple_size_v<decltype(batch_)>> events;
    const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
    if (count <= 0) return;
    batch_size_ = static_cast<std::size_t>(count);
    for (std::size_t i = 0; i < batch_size_; ++i) batch_[i] = events[i].data.ptr;
    for (std::size_t i = 0; i < batch_size_; ++i) {
      if (batch_[i] != nullptr) static_cast<Watcher*>(batch_[i])->on_events(events[i].events);
    }
    batch_size_ = 0;
    if (static_cast<std::size_t>(count) < events.size()) return;
  }
}

}  // namespace kayak::io
