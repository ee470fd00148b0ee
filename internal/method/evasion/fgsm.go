package evasion

import (
	"context"
	"slices"

	"assay"
	"assay/internal/method"
	"assay/internal/model"
)

// FGSM is the fast gradient sign method (Goodfellow et al. 2015, arXiv:1412.6572, section
// 4): one step of eps from the clean input along the sign of the cross-entropy's gradient.
// In L2 the step goes along the gradient itself (fast gradient method; Miyato et al. 2017,
// arXiv:1605.07725, equation 6). It is what iterative methods must be better than.
type FGSM struct{}

// Describe tells what the method is.
func (FGSM) Describe() method.Description {
	return method.Description{
		Name: "fgsm", Access: assay.Gradients,
		Reference: "Goodfellow et al. 2015 (arXiv:1412.6572), section 4",
		Norms:     []method.Norm{method.Linf, method.L2, method.L1},
	}
}

// Perturb makes its one step and asks about its end.
func (FGSM) Perturb(ctx context.Context, u method.Unit) error {
	x := slices.Clone(u.Clean())
	g, err := u.Gradient(ctx, model.CrossEntropy, 0, x)
	if err != nil {
		return err
	}
	u.Space().Step(x, g.Slope, u.Space().Eps)
	_, err = u.Labels(ctx, x)
	return err
}
