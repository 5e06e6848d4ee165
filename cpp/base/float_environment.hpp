// The default floating-point environment for the time of a call: callers may round otherwise or flush subnormal numbers
// to zero (torch.set_flush_denormal, libraries built with -ffast-math), which would change results.
#pragma once

#include <cfenv>

namespace aigc_fast {

class DefaultFloatEnvironment {
  public:
    DefaultFloatEnvironment() {
        std::fegetenv(&callers_);
        std::fesetenv(FE_DFL_ENV);
    }
    ~DefaultFloatEnvironment() { std::fesetenv(&callers_); }
    DefaultFloatEnvironment(const DefaultFloatEnvironment&) = delete;
    DefaultFloatEnvironment& operator=(const DefaultFloatEnvironment&) = delete;

  private:
    std::fenv_t callers_;
};

}  // namespace aigc_fast
