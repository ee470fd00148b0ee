package model

import "context"

// Loss names a loss of a classifier's scores.
type Loss string

// The losses whose gradients attacks follow. All of them grow as the label loses.
const (
	CrossEntropy       Loss = "cross-entropy"
	ScaledCrossEntropy Loss = "scaled-cross-entropy" // of logits in units of their spread, for models whose cross-entropy vanishes
	Margin             Loss = "margin"               // largest other logit less the label's (Carlini and Wagner 2017, f6)
	TargetedMargin     Loss = "targeted-margin"      // the target's logit less the label's
	DLR                Loss = "dlr"                  // difference of logits ratio (Croce and Hein 2020, equation 6)
	TargetedDLR        Loss = "targeted-dlr"         // Croce and Hein 2020, equation 7
)

// Losses gives all losses.
func Losses() []Loss {
	return []Loss{CrossEntropy, ScaledCrossEntropy, Margin, TargetedMargin, DLR, TargetedDLR}
}

// Targeted reports whether the loss is about a class that is aimed at.
func (l Loss) Targeted() bool { return l == TargetedMargin || l == TargetedDLR }

// Differentiable is a model that gives gradients of a loss with respect to its input.
// Implementations are safe for concurrent use.
type Differentiable interface {
	// Batch is the number of rows that every call runs, whatever it is asked for: rows
	// beyond those asked for are filled up. So a row's result does not depend on how many came with it.
	Batch() int

	// Gradient writes, for each of len(labels) rows (at most Batch), the scores (Classes
	// per row), the value of the loss and its gradient (RowSize per row). Targets are the
	// classes that a targeted loss is about; nil for others. DLR and ScaledCrossEntropy need three classes,
	// TargetedDLR four. Scores are those that the loss is made of, of which the greatest wins: logits, where there are
	// any. Numbers of a row are not finite where the model or its derivative is not.
	Gradient(ctx context.Context, loss Loss, rows []float32, labels, targets []int32, scores, losses, gradient []float32) error

	// Close frees what the model holds.
	Close() error
}
