package autodiff

import (
	"fmt"
	"math"

	"assay/onnx"
)

// Loss appends the computation of a loss and gives its name: one number for each
// example, of shape [N]. Attacks raise it, training lowers it. A new loss is a new
// function of this type, written with the Builder's operators.
type Loss func(s Scores) (string, error)

// Scores is what a Loss is made from. N is the number of examples, which may be
// known only when the graph runs.
type Scores struct {
	*onnx.Builder
	Elem    onnx.DataType // of the scores
	Classes int64         // K

	Logits  string // [N, K], or for SquaredError any [N, ...]
	Labels  string // [N] of int64, the true classes; for SquaredError like Logits
	Targets string // [N] of int64, the classes aimed at, for targeted losses

	// Refusal says that the last of the K columns is no class but a refusal to answer, which serves the label: an attack
	// must get past both. No label and no target is of it.
	Refusal bool
}

// Refusing gives a loss for scores whose last column is a refusal, such as a detector's or for want of confidence. An
// attack that raises it is aware of what refuses (Carlini and Wagner 2017, arXiv:1705.07263, section 2.3; Tramèr et al. 2020,
// arXiv:2002.08347): the label and the refusal stand together wherever the label stands in the loss.
func Refusing(loss Loss) Loss {
	return func(s Scores) (string, error) {
		s.Refusal = true
		return loss(s)
	}
}

// Loss adds a loss over a model's scores. Labels, and targets where the loss has
// them, are names of values, usually of inputs made with Input.
func (g *Graph) Loss(loss Loss, logits, labels string, targets ...string) (string, error) {
	types, err := inferred(g.model)
	if err != nil {
		return "", err
	}
	t := types.Of(logits)
	if t.Kind != onnx.KindTensor || !t.Elem.IsFloat() {
		return "", fmt.Errorf("a loss needs scores of floating point, but %q is %s", logits, t)
	}
	s := Scores{Builder: g.Builder, Elem: t.Elem, Classes: -1, Logits: logits, Labels: labels}
	if len(t.Shape) == 2 {
		s.Classes = t.Shape[1].Size
	}
	if len(targets) > 0 {
		s.Targets = targets[0]
	}
	return loss(s)
}

// CrossEntropy is -log softmax(z)_y; with a refusal r, -log(softmax(z)_y + softmax(z)_r).
func CrossEntropy(s Scores) (string, error) {
	if err := s.need(1); err != nil {
		return "", err
	}
	logs := s.Op("LogSoftmax", onnx.Attrs{"axis": int64(1)}, s.Logits)
	own := s.pick(logs, s.Labels)
	if s.Refusal {
		own = s.logOfSum(own, s.refusal(logs))
	}
	return s.Op("Neg", nil, own), nil
}

// Margin is max_{i≠y} z_i - z_y, above zero exactly where the class is wrong: f_6 of
// Carlini and Wagner (2017, arXiv:1608.04644, section V) without its cut at -κ, and
// with its sign turned so that an attack raises it. With a refusal r it is that of the best class which is
// neither the label nor the refusal over both: max_{i≠y,r} z_i - max(z_y, z_r).
func Margin(s Scores) (string, error) {
	if err := s.need(2); err != nil {
		return "", err
	}
	return s.Op("Sub", nil, s.best(s.Labels), s.own()), nil
}

// TargetedMargin is z_t - z_y, above zero where the class aimed at is ahead: the difference of two logits
// whose boundary the fast adaptive boundary attack linearises (Croce and Hein 2020, arXiv:1907.02044, section 2).
func TargetedMargin(s Scores) (string, error) {
	if err := s.need(2); err != nil {
		return "", err
	}
	if s.Targets == "" {
		return "", fmt.Errorf("a targeted loss needs target classes")
	}
	return s.Op("Sub", nil, s.pick(s.Logits, s.Targets), s.own()), nil
}

// DLR is the difference-of-logits ratio -(z_y - max_{i≠y} z_i)/(z_π1 - z_π3) of Croce
// and Hein (2020, arXiv:2003.01690, equation 6), π sorting z from the greatest. Like
// their program it adds 1e-12 to the denominator. It needs three classes. A refusal counts in the numerator, as
// in Margin, and not in the denominator, which is the classes' own scale.
func DLR(s Scores) (string, error) {
	if err := s.need(3); err != nil {
		return "", err
	}
	margin, _ := Margin(s)
	top := s.greatest(3)
	return s.Op("Div", nil, margin, s.plusTiny(s.Op("Sub", nil, top[0], top[2]))), nil
}

// TargetedDLR is -(z_y - z_t)/(z_π1 - (z_π3 + z_π4)/2), equation 7 of the same paper
// with the same 1e-12. It needs four classes.
func TargetedDLR(s Scores) (string, error) {
	if err := s.need(4); err != nil {
		return "", err
	}
	margin, err := TargetedMargin(s)
	if err != nil {
		return "", err
	}
	top := s.greatest(4)
	half := s.Op("Mul", nil, s.Op("Add", nil, top[2], top[3]), s.Number(s.Elem, 0.5))
	return s.Op("Div", nil, margin, s.plusTiny(s.Op("Sub", nil, top[0], half))), nil
}

// SquaredError is the sum of (z - target)² over all but the first dimension.
func SquaredError(s Scores) (string, error) {
	d := s.Op("Sub", nil, s.Logits, s.Labels)
	flat := s.Op("Flatten", onnx.Attrs{"axis": int64(1)}, s.Op("Mul", nil, d, d))
	return s.Op("ReduceSum", onnx.Attrs{"keepdims": int64(0)}, flat, s.Ints(1)), nil
}

// need refuses scores that are not [N, K] with at least so many classes.
func (s Scores) need(classes int64) error {
	if s.Refusal {
		classes++
	}
	if s.Classes < classes {
		if s.Classes < 0 {
			return fmt.Errorf("this loss needs scores of shape [N, K] with K known, and %q is not", s.Logits)
		}
		return fmt.Errorf("this loss needs at least %d classes, and %q has %d", classes, s.Logits, s.Classes)
	}
	return nil
}

// pick takes each row's element of the given class.
func (s Scores) pick(rows, classes string) string {
	index := s.Op("Unsqueeze", nil, classes, s.Ints(1))
	return s.Op("Squeeze", nil, s.Op("GatherElements", onnx.Attrs{"axis": int64(1)}, rows, index), s.Ints(1))
}

// best is the greatest score but that of the given class.
func (s Scores) best(classes string) string {
	index := make([]int64, s.Classes)
	for i := range index {
		index[i] = int64(i)
	}
	if s.Refusal {
		index = index[:s.Classes-1]
	}
	own := s.Op("Equal", nil, s.Op("Unsqueeze", nil, classes, s.Ints(1)), s.Ints(index...))
	others := s.Op("Where", nil, own, s.Number(s.Elem, math.Inf(-1)), s.classes())
	return s.Op("ReduceMax", onnx.Attrs{"keepdims": int64(0)}, others, s.Ints(1))
}

// own is the label's score, or the refusal's where that is greater.
func (s Scores) own() string {
	own := s.pick(s.Logits, s.Labels)
	if s.Refusal {
		own = s.Op("Max", nil, own, s.refusal(s.Logits))
	}
	return own
}

// refusal takes each row's last element.
func (s Scores) refusal(rows string) string {
	return s.Op("Gather", onnx.Attrs{"axis": int64(1)}, rows, s.Number(onnx.Int64, float64(s.Classes-1)))
}

// classes are the scores without the refusal.
func (s Scores) classes() string {
	if !s.Refusal {
		return s.Logits
	}
	return s.Op("Slice", nil, s.Logits, s.Ints(0), s.Ints(s.Classes-1), s.Ints(1))
}

// logOfSum is log(exp(a) + exp(b)), without leaving what a number can hold.
func (s Scores) logOfSum(a, b string) string {
	apart := s.Op("Abs", nil, s.Op("Sub", nil, a, b))
	return s.Op("Add", nil, s.Op("Max", nil, a, b), s.Op("Softplus", nil, s.Op("Neg", nil, apart)))
}

// greatest gives the k greatest scores of each row, each of shape [N].
func (s Scores) greatest(k int64) []string {
	sorted := s.Ops("TopK", onnx.Attrs{"axis": int64(1)}, 2, s.classes(), s.Ints(k))[0]
	out := make([]string, k)
	for i := range out {
		out[i] = s.Op("Gather", onnx.Attrs{"axis": int64(1)}, sorted, s.Number(onnx.Int64, float64(i)))
	}
	return out
}

func (s Scores) plusTiny(x string) string { return s.Op("Add", nil, x, s.Number(s.Elem, 1e-12)) }
