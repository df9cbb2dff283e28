// tls_runtime.h: what the TLS sessions of one loop share: the handshake thread, places for handshakes in progress,
// and the memory that only a session at work needs. Owned by the Loop.
#pragma once

#include <algorithm>
#include <cstddef>
#include <list>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "io/loop.h"
#include "io/worker.h"

namespace kayak::io {

// Bounds the server handshakes in progress: over all, and for one source address, so that a client that stalls its
// handshakes cannot keep the others out. Those beyond wait in order, the waiting line is bounded, too. Preferred
// sources have places of their own and stand at the head of the line.
class HandshakePlaces {
 public:
  static constexpr std::size_t kMax = 128, kMaxPerSource = 64, kMaxWaiting = 1024, kMaxPreferred = 32;
  // One taken place; gives it back.
  class Place {
   public:
    Place() = default;
    Place(Place&& other) noexcept : places_(std::exchange(other.places_, nullptr)), source_(std::move(other.source_)) {}
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (places_ != nullptr) places_->give_back(source_);
    }

   private:
    friend class HandshakePlaces;
    Place(HandshakePlaces* places, std::string source) : places_(places), source_(std::move(source)) {}
    HandshakePlaces* places_ = nullptr;
    std::string source_;
  };
  void prefer(std::set<std::string> sources) { preferred_ = std::move(sources); }
  // Errors: TooManyRequests (the line is full), Cancelled.
  Task<Result<Place>> take(std::string source, StopToken stop);
  std::size_t taken() const { return taken_; }

 private:
  struct Waiting {
    std::string source;
    Event called;
  };
  bool free_for(const std::string& source) const;
  void occupy(const std::string& source);
  void give_back(const std::string& source);
  std::size_t taken_ = 0;
  std::map<std::string, std::size_t> by_source_;
  std::list<Waiting> line_;
  std::set<std::string> preferred_;
};

class TlsRuntime {
 public:
  TlsRuntime();
  ~TlsRuntime();
  TlsRuntime(const TlsRuntime&) = delete;
  TlsRuntime& operator=(const TlsRuntime&) = delete;

  Worker worker;
  HandshakePlaces places;

  // mbedTLS's record buffers, two for each session that is at work (mbedtls_calloc'ed).
  void record_buffer_size(std::size_t size) { size_ = std::max(size_, size); }
  unsigned char* take_buffer();
  void give_buffer(unsigned char* buffer, std::size_t size);

  // Scratch memory for code that does not suspend while it uses it.
  static constexpr std::size_t kReadAhead = 4096, kRecord = 16 * 1024, kCork = 32 * 1024;
  std::vector<char> read_ahead;  // kReadAhead bytes
  std::vector<char> gather;      // kRecord bytes of plaintext
  std::string cork;              // records on their way to the kernel

 private:
  std::size_t size_ = 0;
  std::vector<unsigned char*> spare_;
};

}  // namespace kayak::io
