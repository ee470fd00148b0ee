package autodiff

//go:generate go run ./internal/operatorsdoc ../../docs/operators.md

import (
	"maps"
	"slices"
	"strings"

	"assay/onnx"
)

// Support tells how a gradient gets through an operator.
type Support string

// The ways through an operator.
const (
	Differentiable  Support = "gradient"         // a rule gives the derivative
	Rewritten       Support = "rewritten"        // it becomes operators that have rules
	StraightThrough Support = "straight-through" // zero almost everywhere, the identity's is given instead
	Zero            Support = "zero"             // zero wherever it is defined: nothing flows
	Unsupported     Support = "none"             // Gradient fails with *NotDifferentiable
)

// Coverage is an operator and how a gradient gets through it.
type Coverage struct {
	onnx.Operator
	Support Support
	// Unless says when, or why, there is no gradient: always where Support is
	// Unsupported, else for some forms of the operator. It is empty where all have one.
	Unless string
}

// Operators lists ONNX's own operators in the order of onnx.Operators, and after them
// those with a rule that only ONNX Runtime knows, which have no versions.
func Operators() []Coverage {
	var list []Coverage
	for _, o := range onnx.Operators() {
		list = append(list, coverage(o))
	}
	names := slices.AppendSeq(slices.Collect(maps.Keys(operators)), maps.Keys(expansions))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		dot := strings.LastIndexByte(name, '.')
		o := onnx.Operator{Domain: name[:max(dot, 0)], Name: name[dot+1:]}
		if _, own := onnx.LookupOperator(o.Domain, o.Name); !own {
			list = append(list, coverage(o))
		}
	}
	return list
}

func coverage(o onnx.Operator) Coverage {
	name := o.Name
	if o.Domain != "" {
		name = o.Domain + "." + name
	}
	op, none := operators[name], operators[name].reason()
	c := Coverage{Operator: o, Unless: op.because}
	switch {
	case op.straight:
		c.Support = StraightThrough
	case op.gradient != nil:
		c.Support = Differentiable
	case expansions[name] != nil || op.expand != nil || takenApart[name] || withdrawn[name]:
		c.Support = Rewritten
	case op.zero || op.shapeOnly || sources[name]:
		c.Support = Zero
	default:
		c.Support, c.Unless = Unsupported, none
	}
	return c
}

// sources have no inputs that a gradient could be asked for.
var sources = map[string]bool{"Constant": true, "RandomNormal": true, "RandomUniform": true}

// withdrawn operators are made into those that took their place when a model is brought
// to Opset.
var withdrawn = map[string]bool{"Scatter": true, "Upsample": true}

// takenApart are the operators on sequences whose elements may be known before the
// model runs.
var takenApart = map[string]bool{
	"SequenceConstruct": true, "SequenceEmpty": true, "SequenceInsert": true, "SequenceErase": true,
	"SplitToSequence": true, "SequenceAt": true, "SequenceLength": true, "ConcatFromSequence": true,
}
