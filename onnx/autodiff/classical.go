package autodiff

// classical holds the operators of ai.onnx.ml that have no gradient for a reason.
var classical = map[string]operator{
	"ai.onnx.ml.TreeEnsemble":           {because: steps},
	"ai.onnx.ml.TreeEnsembleClassifier": {because: steps},
	"ai.onnx.ml.TreeEnsembleRegressor":  {because: steps},
	"ai.onnx.ml.Binarizer":              {zero: true},

	"ai.onnx.ml.CastMap":        {because: notNumbers},
	"ai.onnx.ml.CategoryMapper": {because: notNumbers},
	"ai.onnx.ml.DictVectorizer": {because: notNumbers},
	"ai.onnx.ml.LabelEncoder":   {because: notNumbers},
	"ai.onnx.ml.OneHotEncoder":  {because: notNumbers},
	"ai.onnx.ml.ZipMap":         {because: "it gives maps, not tensors: take the gradient of its input"},
}

const steps = "a tree's leaf changes in steps, if at all"
