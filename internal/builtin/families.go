package builtin

import (
	"fmt"

	"assay/internal/method"
	"assay/internal/method/evasion"
	"assay/internal/method/evasion/corruption"
)

// Families gives the transformations that attackers can be held to instead of a norm.
func Families() []method.Family {
	return []method.Family{evasion.RotationTranslation{}, evasion.CommonCorruption{}}
}

// Family gives one by its name, nil for none.
func Family(name string) method.Family {
	for _, f := range Families() {
		if f.Name() == name {
			return f
		}
	}
	return nil
}

// further are the methods that look for the nearest adversarial example, learn before they attack, or transform images.
func further() []Method {
	all := []Method{
		{Name: "rays", Summary: "the nearest boundary in Linf, by decisions alone", Takes: []string{"queries"}, Usual: Settings{Queries: 10000},
			New: func(s Settings) []method.Method { return one(evasion.RayS{Queries: s.Queries}) }},
		{Name: "sparse-rs", Summary: "random search by scores for a few pixels, in L0", Takes: []string{"queries"}, Usual: Settings{Queries: 10000},
			New: func(s Settings) []method.Method { return one(evasion.SparseRS{Queries: s.Queries, Share: 0.3}) }},
		{Name: "deepfool", Summary: "the nearest adversarial example, by way of the nearest linear boundary", Takes: []string{"steps"}, Usual: Settings{Steps: 50},
			New: func(s Settings) []method.Method { return one(evasion.DeepFool{Steps: s.Steps, Targets: 9}) }},
		{Name: "cw", Summary: "the nearest adversarial example in L2, after Carlini and Wagner", Takes: []string{"steps", "searches"}, Usual: Settings{Steps: 10000, Searches: 9},
			New: func(s Settings) []method.Method {
				return one(evasion.CarliniWagner{Steps: s.Steps, Searches: s.Searches})
			}},
		{Name: "ead", Summary: "the nearest adversarial example in L1, by an elastic net", Takes: []string{"steps", "searches"}, Usual: Settings{Steps: 1000, Searches: 9},
			New: func(s Settings) []method.Method {
				return one(evasion.EAD{Steps: s.Steps, Searches: s.Searches, Beta: 0.01})
			}},
		{Name: "min-norm", Summary: "the least eps of each unit, by Auto-PGD at one eps after the other", Takes: []string{"steps", "searches"}, Usual: Settings{Steps: 50, Searches: 10},
			New: func(s Settings) []method.Method {
				return one(evasion.MinimumNorm{Steps: s.Steps, Searches: s.Searches, Targets: 3})
			}},
		{Name: "universal", Summary: "one perturbation for all inputs, learnt from other records", Takes: []string{"steps"}, Usual: Settings{Steps: 500},
			New: func(s Settings) []method.Method { return one(evasion.Universal{Steps: s.Steps, Batch: 32}) }},
		{Name: "patch", Summary: "a square that covers a part of any image, learnt from other records; eps is its share of the area", Takes: []string{"steps"}, Usual: Settings{Steps: 200},
			New: func(s Settings) []method.Method {
				return one(evasion.AdversarialPatch{Steps: s.Steps, Batch: 32, Targets: 10, Places: 20})
			}},
		{Name: "rotation-draws", Summary: "the worst of some turns and moves of an image; eps 1 is 30° and a tenth of the image", Takes: []string{"draws"}, Usual: Settings{Draws: 10},
			New: func(s Settings) []method.Method { return one(evasion.Rotation{Draws: s.Draws}) }},
		{Name: "rotation-grid", Summary: "the worst of 775 turns and moves of an image; eps 1 is 30° and a tenth of the image",
			New: func(Settings) []method.Method { return one(evasion.Rotation{}) }},
	}
	for i, k := range corruption.Kinds() {
		all = append(all, Method{Name: k.Name, Summary: "a common corruption; eps is the highest level, up to 5",
			New: func(Settings) []method.Method { return one(evasion.Corruption{Kind: i}) }})
	}
	return append(all, Method{Name: "corruptions", Summary: "all 15 common corruptions, until one succeeds; eps is the highest level, up to 5",
		New: func(Settings) []method.Method { return evasion.Corruptions() }})
}

// Budget gives what a method's attacker is held to: a norm, which is the method's own where none is asked for, or transformations,
// which have none.
func Budget(m method.Method, asked method.Norm) (method.Norm, method.Family, error) {
	d := m.Describe()
	if d.Family != "" {
		if asked != "" {
			return "", nil, fmt.Errorf("%s is held to %s and to no norm: leave out %s", d.Name, d.Family, asked)
		}
		return "", Family(d.Family), nil
	}
	switch {
	case asked == "" && d.Norms == nil:
		return method.Linf, nil, nil
	case asked == "":
		return d.Norms[0], nil, nil
	case !d.In(asked):
		return "", nil, fmt.Errorf("%s cannot search in %s: use it in one of %q, or another method", d.Name, asked, d.Norms)
	}
	return asked, nil, nil
}
