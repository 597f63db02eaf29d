#pragma once

// Everything that needs no CUDA. <blip/cuda.cuh> adds the GPU.

#include <blip/backend/cpu/cpu.hpp>
#include <blip/backend/reference/reference.hpp>
#include <blip/config/presets.hpp>
#include <blip/config/sizes.hpp>
#include <blip/core/error.hpp>
#include <blip/core/weights.hpp>
#include <blip/io/load_weights.hpp>
#include <blip/io/model_folder.hpp>
#include <blip/io/save_model.hpp>
#include <blip/metrics/recall.hpp>
#include <blip/metrics/retrieval_scores.hpp>
#include <blip/models/approximate_index.hpp>
#include <blip/models/captioner.hpp>
#include <blip/models/dialog_ranker.hpp>
#include <blip/models/dispatch.hpp>
#include <blip/models/feature_extractor.hpp>
#include <blip/models/heat_map.hpp>
#include <blip/models/matcher.hpp>
#include <blip/models/pair_reasoner.hpp>
#include <blip/models/pretrainer.hpp>
#include <blip/models/question_answerer.hpp>
#include <blip/models/retrieval_objective.hpp>
#include <blip/models/retriever.hpp>
#include <blip/models/video_question_answerer.hpp>
#include <blip/models/video_retriever.hpp>
#include <blip/networks/captioner_network.hpp>
#include <blip/networks/pair_network.hpp>
#include <blip/text/cleaning.hpp>
#include <blip/text/wordpiece.hpp>
#include <blip/train/adamw.hpp>
#include <blip/vision/frames.hpp>
#include <blip/vision/heat_map.hpp>
#include <blip/vision/read_image.hpp>
#include <blip/vision/write_image.hpp>
