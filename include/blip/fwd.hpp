#pragma once

// Names only, for headers that pass models along without using them.

namespace blip {

template <class T>
struct Reference;
template <class T>
struct Cpu;
template <class T>
struct Cuda;

class Error;
struct ModelFolder;
struct CaptionOptions;
struct AnswerOptions;
struct RankOptions;
struct GeneratedText;
using Caption = GeneratedText;
using Answer = GeneratedText;

} // namespace blip
