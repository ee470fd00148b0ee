package autodiff

// discontinuous holds the operators that draw at random or read text or files.
var discontinuous = map[string]operator{
	"Bernoulli":   {because: draws},
	"Multinomial": {because: draws},

	// These look at the shape of their input alone.
	"RandomNormalLike": {shapeOnly: true}, "RandomUniformLike": {shapeOnly: true},

	"ImageDecoder":     {because: notNumbers},
	"RegexFullMatch":   {because: notNumbers},
	"StringConcat":     {because: notNumbers},
	"StringNormalizer": {because: notNumbers},
	"StringSplit":      {because: notNumbers},
	"TfIdfVectorizer":  {because: notNumbers},
}

const (
	draws      = "it draws whole numbers at random"
	notNumbers = "its input is not a number that could change a little"
)
