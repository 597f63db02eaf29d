#pragma once

#include <blip/backend/cuda/cuda.cuh>
#include <blip/blip.hpp>
