#pragma once

#include <utility>

#include <blip/core/context.hpp>

namespace blip {

/// Changes what a context keeps until the scope ends, also when it ends by an error.
template <class B>
class KeepScope {
public:
    KeepScope(Context<B>& ctx, Keep keep) : ctx_(ctx), before_(std::exchange(ctx.keep, keep)) {}
    ~KeepScope() { ctx_.keep = before_; }
    KeepScope(KeepScope const&) = delete;
    KeepScope& operator=(KeepScope const&) = delete;

private:
    Context<B>& ctx_;
    Keep before_;
};

} // namespace blip
