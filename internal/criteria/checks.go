package criteria

import (
	"slices"
	"strings"
)

// CheckKind is a validity check that a criterion can demand: a reason to believe
// that the test would have found the failure, had there been one.
type CheckKind struct {
	Name    string `json:"check"`
	Meaning string `json:"meaning"`
}

// CheckKinds gives the checks that a criterion can demand. Those for
// evasion are items of Carlini et al., On Evaluating Adversarial Robustness
// (arXiv 1902.06705), where they can be decided by a program.
func CheckKinds() []CheckKind {
	return []CheckKind{
		{"attack-enabled", "The attacker may change something, and methods that ask the model something ran."},
		{"enough-units", "So many units were observed that a rate among them means something."},
		{"counterexamples-confirmed", "Every counterexample holds when the model is run on it again, alone and without graph optimisation, and keeps the attacker's limits."},
		{"answers-repeat", "Asked twice about the same input, the model gives the same scores: one that draws at random needs attacks that average over its draws."},
		{"positive-control", "The same method, with the same settings, breaks a twin that is known to be weak, or finds a planted fault."},
		{"negative-control", "The method finds nothing where there is nothing to find, such as at a budget of zero."},
		{"known-answer", "On a case whose exact answer is known, such as a linear model in closed form, the method comes close to it."},
		{"iterative-beats-single-step", "Attacks by many steps break what those by one step do."},
		{"white-box-beats-black-box", "What attacks without gradients break, those that see gradients do too."},
		{"success-grows-with-budget", "A larger perturbation does not succeed less often."},
		{"large-budget-succeeds", "With no limit to the perturbation, nearly everything is broken."},
		{"converged", "More steps or restarts would not have changed the result by more than a little."},
		{"gradients-not-masked", "The gradients that attacks follow are not zero, not random and not those of a saturated function."},
		{"aware-beats-unaware", "What examples found on the model without the solution break, the attack on the whole system does too. It is made where such a model is named."},
		{"same-distribution", "Members and other records cannot be told apart without the model, so what an attack finds is the model's doing."},
		{"enough-non-members", "There are so many records that are not members that the false positive rate can be counted."},
		{"false-positives-as-claimed", "On records that the threshold was not chosen on, the false positive rate is not shown to be more than twice as large as claimed, or less than half."},
		{"strongest-attack", "No other attack is shown to recognise more members than the one that decides."},
		{"certificates-hold", "No unit is broken within the radius for which it is certified. It is made where answers can be certified: those of a vote under noise in L2, and of decision trees."},
	}
}

func checkKnown(name string) bool {
	return slices.ContainsFunc(CheckKinds(), func(k CheckKind) bool { return k.Name == name })
}

func checkNames() string {
	var names []string
	for _, k := range CheckKinds() {
		names = append(names, k.Name)
	}
	return strings.Join(names, ", ")
}
