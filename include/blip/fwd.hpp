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
struct ModelSettings;
struct LoadReport;
struct StepOptions;
template <class B>
struct LoadOptions;
template <class B>
struct ObjectiveOptions;

struct CaptionOptions;
struct AnswerOptions;
struct RankOptions;
struct ChosenAnswer;
struct GeneratedText;
using Caption = GeneratedText;
using Answer = GeneratedText;
class AnswerList;

struct MatchOptions;
struct Match;
struct PairJudgement;
template <class T>
struct TokenFeatures;

struct HeatMap;
struct HeatMapOptions;

struct Hit;
struct LabelledImage;
class VectorIndex;
struct ApproximateOptions;
class ApproximateIndex;
class StoredStates;

struct ClipSearch;
struct ClipScores;
struct FoundClip;
template <class B>
struct EncodedClip;

struct Dialog;
struct DialogTurn;
struct DialogOptions;
struct RankedCandidate;

struct Negatives;
struct CaptionBatch;
struct CaptionTraining;
struct CaptionLosses;
struct RetrievalBatch;
struct WeightedAnswer;
struct QuestionBatch;
struct AnswerLosses;
struct PairBatch;
struct PairLosses;
struct AlignmentLosses;
struct PretrainingLosses;

} // namespace blip
