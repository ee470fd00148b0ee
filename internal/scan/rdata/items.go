package rdata

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"assay/internal/scan"
	"assay/internal/scan/secret"
)

// Types of objects (SEXPTYPE of Rinternals.h, and the pseudo types of serialize.c).
const (
	typeSymbol      = 1
	typePairs       = 2
	typeClosure     = 3
	typeEnvironment = 4
	typePromise     = 5
	typeCall        = 6
	typeSpecial     = 7
	typeBuiltin     = 8
	typeText        = 9
	typeLogical     = 10
	typeInteger     = 13
	typeReal        = 14
	typeComplex     = 15
	typeTexts       = 16
	typeDots        = 17
	typeList        = 19
	typeExpression  = 20
	typeBytecode    = 21
	typePointer     = 22
	typeWeak        = 23
	typeRaw         = 24
	typeS4          = 25

	typeAltrep     = 238
	typeAttrPairs  = 239
	typeAttrCall   = 240
	typeBaseEnv    = 241
	typeEmptyEnv   = 242
	typeCodeRef    = 243
	typeCodeDef    = 244
	typeGeneric    = 245
	typeClass      = 246
	typePersistent = 247
	typePackage    = 248
	typeNamespace  = 249
	typeBase       = 250
	typeMissing    = 251
	typeUnbound    = 252
	typeGlobal     = 253
	typeNilValue   = 254
	typeReference  = 255
)

const (
	maxDepth   = 2_000
	maxSymbols = 1 << 20
)

// place is where an object stands, as far as what R does with it depends on that.
type place struct {
	lazy bool // in an environment, where R itself leaves promises that nobody asked for
	code bool // in the body of a function, in a promise or in bytecode
	name string
}

// object is what is known of an object that was read.
type object struct {
	kind int
	text string // of a symbol or a text
}

// reader reads objects and judges them.
type reader struct {
	input
	ctx       context.Context
	file      *scan.File
	report    *scan.Report
	symbols   []string // by reference; empty for what is no symbol
	depth     int
	workspace bool // written by save: each object has a name
}

// tell reports, the same rule with the same subject only once.
func (v *reader) tell(rule, subject string, severity scan.Severity, message, remedy string) {
	v.report.AddOnce(scan.Finding{Rule: rule, Severity: severity, Place: v.file.Place(v.at, subject), Message: message, Remedy: remedy})
}

const remedy = "Do not load it; have its numbers saved as CSV, Parquet or safetensors."

// header reads the versions, and of the format's version 3 the name of the encoding.
func (v *reader) header() {
	version := v.integer()
	v.integer()
	v.integer()
	if version == 3 {
		v.text(int64(v.integer()))
	}
}

// item reads an object, as ReadItem of serialize.c does.
func (v *reader) item(p place) (o object) {
	if v.depth++; v.depth > maxDepth {
		v.fail("objects are within each other more than %d deep", maxDepth)
	}
	defer func() { v.depth-- }()
	if v.err == nil && v.ctx.Err() != nil {
		v.err = v.ctx.Err()
	}
	if v.err != nil {
		return object{}
	}
	flags := v.integer()
	kind, attributes, tag := int(flags&0xff), flags&(1<<9) != 0, flags&(1<<10) != 0
	switch kind {
	case typeNilValue, typeEmptyEnv, typeBaseEnv, typeGlobal, typeUnbound, typeMissing, typeBase:
		return object{kind: kind}
	case typeReference:
		index := int(flags >> 8)
		if index == 0 {
			index = int(v.integer())
		}
		if index < 1 || index > len(v.symbols) {
			v.fail("it refers to object %d of %d", index, len(v.symbols))
			return object{}
		}
		return object{kind: typeSymbol, text: v.symbols[index-1]}
	case typeSymbol:
		name := v.item(p).text
		v.refer(name)
		return object{kind: typeSymbol, text: name}
	case typePersistent, typePackage, typeNamespace:
		v.names(kind)
		return object{kind: kind}
	case typeEnvironment:
		v.refer("")
		v.integer()
		inner := place{lazy: true, code: p.code}
		for range 4 {
			v.item(inner)
		}
		return object{kind: kind}
	case typePairs, typeCall, typeClosure, typePromise, typeDots:
		return v.pairs(kind, attributes, tag, p)
	case typePointer, typeWeak:
		v.refer("")
		if kind == typePointer {
			v.item(p)
			v.item(p)
		}
		v.tell("r-reference", fmt.Sprint(kind), scan.Unknown, "It holds a pointer to memory of the program that wrote it, which a package would make anew when it is loaded.", "Save the model in the format of its own library.")
	case typeSpecial, typeBuiltin:
		o.text = v.text(int64(v.integer()))
		v.function(o.text)
	case typeText:
		return object{kind: typeText, text: v.characters()}
	case typeBytecode:
		v.tell("r-code", "bytecode", scan.Unknown, "It holds bytecode of R, which runs when the function that it belongs to is called.", remedy)
		v.bytecode(place{code: true})
	case typeGeneric, typeClass:
		v.fail("it has an object of type %d, which R does not read either", kind)
	case typeAltrep:
		v.altrep(p)
		return object{kind: kind}
	default:
		o.text = v.vector(kind, p)
	}
	if attributes {
		v.item(place{lazy: p.lazy, code: p.code})
	}
	return object{kind: kind, text: o.text}
}

func (v *reader) refer(name string) {
	if len(v.symbols) >= maxSymbols {
		v.fail("it has more than %d symbols", maxSymbols)
		return
	}
	v.symbols = append(v.symbols, name)
}

// characters reads a text; -1 is R's missing one.
func (v *reader) characters() string {
	n := v.integer()
	if n == -1 {
		return ""
	}
	s := v.text(int64(n))
	for _, found := range secret.Findings("r", "A text", s) {
		v.tell(found.Rule, found.Message, found.Severity, found.Message, found.Remedy)
	}
	return s
}

// names reads what a package, a namespace or a persistent object is called by.
func (v *reader) names(kind int) {
	v.integer()
	var names []string
	n := v.integer()
	if n < 0 || n > 1000 {
		v.fail("a name has %d parts", n)
	}
	for range n {
		if names = append(names, v.item(place{}).text); v.err != nil {
			return
		}
	}
	v.refer("")
	name := strings.Join(names, " ")
	switch {
	case kind == typePersistent:
		v.tell("r-reference", name, scan.Unknown, fmt.Sprintf("It asks the program for an object by the name %.200q.", name), remedy)
	case len(names) == 0 || !slices.Contains(attached, strings.TrimPrefix(names[0], "package:")):
		v.tell("r-reference", name, scan.Unknown, fmt.Sprintf("Loading it loads the package %.200q, whose code is not in the file.", name), "Load it only where this package is installed from a source that is trusted.")
	}
}

// attached are the packages that R has loaded from the start.
var attached = []string{"base", "stats", "graphics", "grDevices", "utils", "datasets", "methods"}

// vector reads the elements of a vector, and gives the first text in one of texts.
func (v *reader) vector(kind int, p place) (first string) {
	var n int64
	if kind != typeS4 {
		n = v.length()
	}
	switch kind {
	case typeS4:
	case typeLogical, typeInteger:
		v.numbers(n, 4, 1)
	case typeReal:
		v.numbers(n, 8, 1)
	case typeComplex:
		v.numbers(n, 16, 2)
	case typeRaw:
		v.numbers(n, 1, 1)
	case typeTexts, typeList, typeExpression:
		for i := range n {
			element := v.item(place{lazy: p.lazy, code: p.code})
			if v.err != nil {
				return first
			}
			if i == 0 && kind == typeTexts {
				first = element.text
			}
		}
	default:
		v.fail("it has an object of type %d, which is not known", kind)
	}
	return first
}

// compact are the classes of R itself that stand for a vector.
var compact = []string{"compact_intseq", "compact_realseq", "deferred_string", "wrap_integer", "wrap_logical", "wrap_real", "wrap_complex", "wrap_raw", "wrap_string", "wrap_list"}

// altrep reads an object that a class makes when it is looked at.
func (v *reader) altrep(p place) {
	first := v.item(place{name: "altrep"})
	v.item(p)
	v.item(p)
	class := first.text
	if v.err == nil && !slices.Contains(compact, class) {
		v.tell("r-reference", class, scan.Unknown, fmt.Sprintf("It has an object that the class %.200q makes when it is looked at, out of what is not all in the file.", class), remedy)
	}
}
