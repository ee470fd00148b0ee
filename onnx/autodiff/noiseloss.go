package autodiff

import "fmt"

// GeneralisedCrossEntropy is (1 - p_y^q)/q with p the softmax of the scores: L_q of Zhang and Sabuncu (2018, arXiv:1805.07836,
// equation 6), for training on labels of which some are wrong. Towards q = 0 it is the CrossEntropy; at 1 it is the mean
// absolute error, which noise that hits all labels alike does not move (Ghosh et al. 2017, arXiv:1712.09482), and which learns
// slowly. An example's gradient is that of its cross-entropy times p_y^q: what the model does not believe weighs little. The paper uses
// 0.7, without the truncation of its section 3.3 as here. With a refusal r p_y is p_y + p_r, as in CrossEntropy.
func GeneralisedCrossEntropy(q float64) Loss {
	return func(s Scores) (string, error) {
		if !(q > 0 && q <= 1) {
			return "", fmt.Errorf("the generalised cross-entropy has a q above 0 and of at most 1, not %g", q)
		}
		plain, err := CrossEntropy(s)
		if err != nil {
			return "", err
		}
		power := s.Op("Exp", nil, s.Op("Mul", nil, plain, s.Number(s.Elem, -q)))
		return s.Op("Div", nil, s.Op("Sub", nil, s.Number(s.Elem, 1), power), s.Number(s.Elem, q)), nil
	}
}
