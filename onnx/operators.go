package onnx

import (
	"slices"
	"strings"
)

// Operator is an operator that ONNX defines, with the versions of its domain's
// operator set in which its definition was new or changed.
type Operator struct {
	Domain     string // "" for ONNX's main domain
	Name       string
	Since      []int64 // ascending
	Deprecated int64   // the version among Since that only withdraws it; 0 for none
}

// MinOpset and MaxOpset bound the versions of ONNX's main operator set that this
// module reads.
const (
	MinOpset = 7
	MaxOpset = 24
)

// Operators lists the operators of ONNX's own domains, sorted by domain and name:
// the main one up to MaxOpset, ai.onnx.ml and ai.onnx.preview.training whole.
func Operators() []Operator { return slices.Clone(operators) }

// LookupOperator gives the operator of that name, and whether ONNX defines it.
func LookupOperator(domain, name string) (Operator, bool) {
	i, ok := slices.BinarySearchFunc(operators, Operator{Domain: domain, Name: name}, func(a, b Operator) int {
		if c := strings.Compare(a.Domain, b.Domain); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	if !ok {
		return Operator{}, false
	}
	return operators[i], true
}

// SinceVersion is the version of the operator's definition that holds in an
// operator set: the last that is not newer. It is 0 where the set is older than
// the operator.
func (o Operator) SinceVersion(opset int64) int64 {
	since := int64(0)
	for _, v := range o.Since {
		if v <= opset {
			since = v
		}
	}
	return since
}

// isOwnDomain reports whether ONNX itself defines the domain, so that operators
// of it that are not in the table do not exist.
func isOwnDomain(domain string) bool {
	return slices.ContainsFunc(operators, func(o Operator) bool { return o.Domain == domain })
}

// suggestOperator gives the operator of the domain whose name is closest, "" where
// none is close.
func suggestOperator(domain, name string) string {
	best, distance := "", 1+min(3, len(name)/3)
	for _, o := range operators {
		if o.Domain != domain || len(name) > 2*len(o.Name)+8 {
			continue
		}
		if d := editDistance(strings.ToLower(name), strings.ToLower(o.Name)); d < distance {
			best, distance = o.Name, d
		}
	}
	return best
}

// editDistance is Levenshtein's: the insertions, deletions and replacements of
// single bytes that turn a into b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// operators is sorted by domain and name. Facts from the operator changelogs of
// the ONNX specification (docs/Changelog.md and docs/Changelog-ml.md).
var operators = []Operator{
	{"", "Abs", []int64{1, 6, 13}, 0},
	{"", "Acos", []int64{7, 22}, 0},
	{"", "Acosh", []int64{9, 22}, 0},
	{"", "Add", []int64{1, 6, 7, 13, 14}, 0},
	{"", "AffineGrid", []int64{20}, 0},
	{"", "And", []int64{1, 7}, 0},
	{"", "ArgMax", []int64{1, 11, 12, 13}, 0},
	{"", "ArgMin", []int64{1, 11, 12, 13}, 0},
	{"", "Asin", []int64{7, 22}, 0},
	{"", "Asinh", []int64{9, 22}, 0},
	{"", "Atan", []int64{7, 22}, 0},
	{"", "Atanh", []int64{9, 22}, 0},
	{"", "Attention", []int64{23, 24}, 0},
	{"", "AveragePool", []int64{1, 7, 10, 11, 19, 22}, 0},
	{"", "BatchNormalization", []int64{1, 6, 7, 9, 14, 15}, 0},
	{"", "Bernoulli", []int64{15, 22}, 0},
	{"", "BitShift", []int64{11}, 0},
	{"", "BitwiseAnd", []int64{18}, 0},
	{"", "BitwiseNot", []int64{18}, 0},
	{"", "BitwiseOr", []int64{18}, 0},
	{"", "BitwiseXor", []int64{18}, 0},
	{"", "BlackmanWindow", []int64{17}, 0},
	{"", "Cast", []int64{1, 6, 9, 13, 19, 21, 23, 24}, 0},
	{"", "CastLike", []int64{15, 19, 21, 23, 24}, 0},
	{"", "Ceil", []int64{1, 6, 13}, 0},
	{"", "Celu", []int64{12}, 0},
	{"", "CenterCropPad", []int64{18}, 0},
	{"", "Clip", []int64{1, 6, 11, 12, 13}, 0},
	{"", "Col2Im", []int64{18}, 0},
	{"", "Compress", []int64{9, 11}, 0},
	{"", "Concat", []int64{1, 4, 11, 13}, 0},
	{"", "ConcatFromSequence", []int64{11}, 0},
	{"", "Constant", []int64{1, 9, 11, 12, 13, 19, 21, 23, 24}, 0},
	{"", "ConstantOfShape", []int64{9, 20, 21, 23, 24}, 0},
	{"", "Conv", []int64{1, 11, 22}, 0},
	{"", "ConvInteger", []int64{10}, 0},
	{"", "ConvTranspose", []int64{1, 11, 22}, 0},
	{"", "Cos", []int64{7, 22}, 0},
	{"", "Cosh", []int64{9, 22}, 0},
	{"", "CumSum", []int64{11, 14}, 0},
	{"", "DFT", []int64{17, 20}, 0},
	{"", "DeformConv", []int64{19, 22}, 0},
	{"", "DepthToSpace", []int64{1, 11, 13}, 0},
	{"", "DequantizeLinear", []int64{10, 13, 19, 21, 23, 24}, 0},
	{"", "Det", []int64{11, 22}, 0},
	{"", "Div", []int64{1, 6, 7, 13, 14}, 0},
	{"", "Dropout", []int64{1, 6, 7, 10, 12, 13, 22}, 0},
	{"", "DynamicQuantizeLinear", []int64{11}, 0},
	{"", "Einsum", []int64{12}, 0},
	{"", "Elu", []int64{1, 6, 22}, 0},
	{"", "Equal", []int64{1, 7, 11, 13, 19}, 0},
	{"", "Erf", []int64{9, 13}, 0},
	{"", "Exp", []int64{1, 6, 13}, 0},
	{"", "Expand", []int64{8, 13}, 0},
	{"", "EyeLike", []int64{9, 22}, 0},
	{"", "Flatten", []int64{1, 9, 11, 13, 21, 23, 24}, 0},
	{"", "Floor", []int64{1, 6, 13}, 0},
	{"", "GRU", []int64{1, 3, 7, 14, 22}, 0},
	{"", "Gather", []int64{1, 11, 13}, 0},
	{"", "GatherElements", []int64{11, 13}, 0},
	{"", "GatherND", []int64{11, 12, 13}, 0},
	{"", "Gelu", []int64{20}, 0},
	{"", "Gemm", []int64{1, 6, 7, 9, 11, 13}, 0},
	{"", "GlobalAveragePool", []int64{1, 22}, 0},
	{"", "GlobalLpPool", []int64{1, 2, 22}, 0},
	{"", "GlobalMaxPool", []int64{1, 22}, 0},
	{"", "Greater", []int64{1, 7, 9, 13}, 0},
	{"", "GreaterOrEqual", []int64{12, 16}, 0},
	{"", "GridSample", []int64{16, 20, 22}, 0},
	{"", "GroupNormalization", []int64{18, 21}, 18},
	{"", "HammingWindow", []int64{17}, 0},
	{"", "HannWindow", []int64{17}, 0},
	{"", "HardSigmoid", []int64{1, 6, 22}, 0},
	{"", "HardSwish", []int64{14, 22}, 0},
	{"", "Hardmax", []int64{1, 11, 13}, 0},
	{"", "Identity", []int64{1, 13, 14, 16, 19, 21, 23, 24}, 0},
	{"", "If", []int64{1, 11, 13, 16, 19, 21, 23, 24}, 0},
	{"", "ImageDecoder", []int64{20}, 0},
	{"", "InstanceNormalization", []int64{1, 6, 22}, 0},
	{"", "IsInf", []int64{10, 20}, 0},
	{"", "IsNaN", []int64{9, 13, 20}, 0},
	{"", "LRN", []int64{1, 13}, 0},
	{"", "LSTM", []int64{1, 7, 14, 22}, 0},
	{"", "LayerNormalization", []int64{17}, 0},
	{"", "LeakyRelu", []int64{1, 6, 16}, 0},
	{"", "Less", []int64{1, 7, 9, 13}, 0},
	{"", "LessOrEqual", []int64{12, 16}, 0},
	{"", "Log", []int64{1, 6, 13}, 0},
	{"", "LogSoftmax", []int64{1, 11, 13}, 0},
	{"", "Loop", []int64{1, 11, 13, 16, 19, 21, 23, 24}, 0},
	{"", "LpNormalization", []int64{1, 22}, 0},
	{"", "LpPool", []int64{1, 2, 11, 18, 22}, 0},
	{"", "MatMul", []int64{1, 9, 13}, 0},
	{"", "MatMulInteger", []int64{10}, 0},
	{"", "Max", []int64{1, 6, 8, 12, 13}, 0},
	{"", "MaxPool", []int64{1, 8, 10, 11, 12, 22}, 0},
	{"", "MaxRoiPool", []int64{1, 22}, 0},
	{"", "MaxUnpool", []int64{9, 11, 22}, 0},
	{"", "Mean", []int64{1, 6, 8, 13}, 0},
	{"", "MeanVarianceNormalization", []int64{9, 13}, 0},
	{"", "MelWeightMatrix", []int64{17}, 0},
	{"", "Min", []int64{1, 6, 8, 12, 13}, 0},
	{"", "Mish", []int64{18, 22}, 0},
	{"", "Mod", []int64{10, 13}, 0},
	{"", "Mul", []int64{1, 6, 7, 13, 14}, 0},
	{"", "Multinomial", []int64{7, 22}, 0},
	{"", "Neg", []int64{1, 6, 13}, 0},
	{"", "NegativeLogLikelihoodLoss", []int64{12, 13, 22}, 0},
	{"", "NonMaxSuppression", []int64{10, 11}, 0},
	{"", "NonZero", []int64{9, 13}, 0},
	{"", "Not", []int64{1}, 0},
	{"", "OneHot", []int64{9, 11}, 0},
	{"", "Optional", []int64{15}, 0},
	{"", "OptionalGetElement", []int64{15, 18}, 0},
	{"", "OptionalHasElement", []int64{15, 18}, 0},
	{"", "Or", []int64{1, 7}, 0},
	{"", "PRelu", []int64{1, 6, 7, 9, 16}, 0},
	{"", "Pad", []int64{1, 2, 11, 13, 18, 19, 21, 23, 24}, 0},
	{"", "Pow", []int64{1, 7, 12, 13, 15}, 0},
	{"", "QLinearConv", []int64{10}, 0},
	{"", "QLinearMatMul", []int64{10, 21}, 0},
	{"", "QuantizeLinear", []int64{10, 13, 19, 21, 23, 24}, 0},
	{"", "RMSNormalization", []int64{23}, 0},
	{"", "RNN", []int64{1, 7, 14, 22}, 0},
	{"", "RandomNormal", []int64{1, 22}, 0},
	{"", "RandomNormalLike", []int64{1, 22}, 0},
	{"", "RandomUniform", []int64{1, 22}, 0},
	{"", "RandomUniformLike", []int64{1, 22}, 0},
	{"", "Range", []int64{11}, 0},
	{"", "Reciprocal", []int64{1, 6, 13}, 0},
	{"", "ReduceL1", []int64{1, 11, 13, 18}, 0},
	{"", "ReduceL2", []int64{1, 11, 13, 18}, 0},
	{"", "ReduceLogSum", []int64{1, 11, 13, 18}, 0},
	{"", "ReduceLogSumExp", []int64{1, 11, 13, 18}, 0},
	{"", "ReduceMax", []int64{1, 11, 12, 13, 18, 20}, 0},
	{"", "ReduceMean", []int64{1, 11, 13, 18}, 0},
	{"", "ReduceMin", []int64{1, 11, 12, 13, 18, 20}, 0},
	{"", "ReduceProd", []int64{1, 11, 13, 18}, 0},
	{"", "ReduceSum", []int64{1, 11, 13}, 0},
	{"", "ReduceSumSquare", []int64{1, 11, 13, 18}, 0},
	{"", "RegexFullMatch", []int64{20}, 0},
	{"", "Relu", []int64{1, 6, 13, 14}, 0},
	{"", "Reshape", []int64{1, 5, 13, 14, 19, 21, 23, 24}, 0},
	{"", "Resize", []int64{10, 11, 13, 18, 19}, 0},
	{"", "ReverseSequence", []int64{10}, 0},
	{"", "RoiAlign", []int64{10, 16, 22}, 0},
	{"", "RotaryEmbedding", []int64{23}, 0},
	{"", "Round", []int64{11, 22}, 0},
	{"", "STFT", []int64{17}, 0},
	{"", "Scan", []int64{8, 9, 11, 16, 19, 21, 23, 24}, 0},
	{"", "Scatter", []int64{9, 11}, 11},
	{"", "ScatterElements", []int64{11, 13, 16, 18}, 0},
	{"", "ScatterND", []int64{11, 13, 16, 18}, 0},
	{"", "Selu", []int64{1, 6, 22}, 0},
	{"", "SequenceAt", []int64{11}, 0},
	{"", "SequenceConstruct", []int64{11}, 0},
	{"", "SequenceEmpty", []int64{11}, 0},
	{"", "SequenceErase", []int64{11}, 0},
	{"", "SequenceInsert", []int64{11}, 0},
	{"", "SequenceLength", []int64{11}, 0},
	{"", "SequenceMap", []int64{17}, 0},
	{"", "Shape", []int64{1, 13, 15, 19, 21, 23, 24}, 0},
	{"", "Shrink", []int64{9}, 0},
	{"", "Sigmoid", []int64{1, 6, 13}, 0},
	{"", "Sign", []int64{9, 13}, 0},
	{"", "Sin", []int64{7, 22}, 0},
	{"", "Sinh", []int64{9, 22}, 0},
	{"", "Size", []int64{1, 13, 19, 21, 23, 24}, 0},
	{"", "Slice", []int64{1, 10, 11, 13}, 0},
	{"", "Softmax", []int64{1, 11, 13}, 0},
	{"", "SoftmaxCrossEntropyLoss", []int64{12, 13}, 0},
	{"", "Softplus", []int64{1, 22}, 0},
	{"", "Softsign", []int64{1, 22}, 0},
	{"", "SpaceToDepth", []int64{1, 13}, 0},
	{"", "Split", []int64{1, 2, 11, 13, 18}, 0},
	{"", "SplitToSequence", []int64{11, 24}, 0},
	{"", "Sqrt", []int64{1, 6, 13}, 0},
	{"", "Squeeze", []int64{1, 11, 13, 21, 23, 24}, 0},
	{"", "StringConcat", []int64{20}, 0},
	{"", "StringNormalizer", []int64{10}, 0},
	{"", "StringSplit", []int64{20}, 0},
	{"", "Sub", []int64{1, 6, 7, 13, 14}, 0},
	{"", "Sum", []int64{1, 6, 8, 13}, 0},
	{"", "Swish", []int64{24}, 0},
	{"", "Tan", []int64{7, 22}, 0},
	{"", "Tanh", []int64{1, 6, 13}, 0},
	{"", "TensorScatter", []int64{24}, 0},
	{"", "TfIdfVectorizer", []int64{9}, 0},
	{"", "ThresholdedRelu", []int64{10, 22}, 0},
	{"", "Tile", []int64{1, 6, 13}, 0},
	{"", "TopK", []int64{1, 10, 11, 24}, 0},
	{"", "Transpose", []int64{1, 13, 21, 23, 24}, 0},
	{"", "Trilu", []int64{14}, 0},
	{"", "Unique", []int64{11}, 0},
	{"", "Unsqueeze", []int64{1, 11, 13, 21, 23, 24}, 0},
	{"", "Upsample", []int64{7, 9, 10}, 10},
	{"", "Where", []int64{9, 16}, 0},
	{"", "Xor", []int64{1, 7}, 0},
	{"ai.onnx.ml", "ArrayFeatureExtractor", []int64{1}, 0},
	{"ai.onnx.ml", "Binarizer", []int64{1}, 0},
	{"ai.onnx.ml", "CastMap", []int64{1}, 0},
	{"ai.onnx.ml", "CategoryMapper", []int64{1}, 0},
	{"ai.onnx.ml", "DictVectorizer", []int64{1}, 0},
	{"ai.onnx.ml", "FeatureVectorizer", []int64{1}, 0},
	{"ai.onnx.ml", "Imputer", []int64{1}, 0},
	{"ai.onnx.ml", "LabelEncoder", []int64{1, 2, 4}, 0},
	{"ai.onnx.ml", "LinearClassifier", []int64{1}, 0},
	{"ai.onnx.ml", "LinearRegressor", []int64{1}, 0},
	{"ai.onnx.ml", "Normalizer", []int64{1}, 0},
	{"ai.onnx.ml", "OneHotEncoder", []int64{1}, 0},
	{"ai.onnx.ml", "SVMClassifier", []int64{1}, 0},
	{"ai.onnx.ml", "SVMRegressor", []int64{1}, 0},
	{"ai.onnx.ml", "Scaler", []int64{1}, 0},
	{"ai.onnx.ml", "TreeEnsemble", []int64{5}, 0},
	{"ai.onnx.ml", "TreeEnsembleClassifier", []int64{1, 3, 5}, 5},
	{"ai.onnx.ml", "TreeEnsembleRegressor", []int64{1, 3, 5}, 5},
	{"ai.onnx.ml", "ZipMap", []int64{1}, 0},
	{"ai.onnx.preview.training", "Adagrad", []int64{1}, 0},
	{"ai.onnx.preview.training", "Adam", []int64{1}, 0},
	{"ai.onnx.preview.training", "Gradient", []int64{1}, 0},
	{"ai.onnx.preview.training", "Momentum", []int64{1}, 0},
}
