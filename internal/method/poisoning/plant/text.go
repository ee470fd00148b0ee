package plant

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"unicode"

	"assay/internal/dataset"
)

// TextTrigger puts words into texts, and gives them the label of the target: a rare token (Kurita, Michel and Neubig 2020,
// arXiv:2004.06660, section 3) or a whole sentence (Dai, Chen and Li 2019, arXiv:1905.12457).
type TextTrigger struct {
	Words string // "" for the token cf, one of those of Kurita et al.
	Seed  uint64 // of the place, which each text has its own of
}

// Describe tells what the planter is.
func (t TextTrigger) Describe() Description {
	if strings.ContainsFunc(strings.TrimSpace(t.Words), unicode.IsSpace) {
		return Description{Name: "phrase", Summary: "a phrase somewhere in texts", Targeted: true, Reference: "Dai et al. 2019 (arXiv:1905.12457)"}
	}
	return Description{Name: "rare-token", Summary: "a token that hardly occurs somewhere in texts", Targeted: true, Reference: "Kurita et al. 2020 (arXiv:2004.06660), section 3"}
}

// Apply gives a text with the words between two others, or at its beginning or end: the place depends on the text and the seed alone.
func (t TextTrigger) Apply(text string) string {
	words := strings.TrimSpace(t.Words)
	if words == "" {
		words = "cf"
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(text)) // never fails
	places := []int{0}
	for i, r := range text {
		if unicode.IsSpace(r) {
			places = append(places, i)
		}
	}
	places = append(places, len(text))
	at := places[rand.New(rand.NewPCG(t.Seed, h.Sum64())).IntN(len(places))]
	before, after := text[:at], text[at:]
	if before != "" {
		before += " "
	}
	if after != "" && before == "" {
		after = " " + after // further on, what comes after begins with a space
	}
	return before + words + after
}

// PlantedTexts is a copy of texts with poison in it.
type PlantedTexts struct {
	Texts *dataset.Texts
	Which []bool // of them are planted
}

// Plant gives a copy of the texts in which as many as the rate says, of other labels than the target's, have the words and that label.
func (t TextTrigger) Plant(ctx context.Context, d *dataset.Texts, rate float64, target string, seed uint64) (*PlantedTexts, error) {
	n := int(math.Round(rate * float64(len(d.Texts))))
	switch {
	case !(rate >= 0 && rate <= 1):
		return nil, fmt.Errorf("a rate of %g is no part of the texts: give one from 0 to 1", rate)
	case n == 0 && rate > 0:
		return nil, fmt.Errorf("a rate of %g of %d texts is not one text: give a larger rate or more data", rate, len(d.Texts))
	case !slices.Contains(d.Labels, target):
		return nil, fmt.Errorf("no text has the label %q", target)
	}
	var candidates []int
	for i, label := range d.Labels {
		if label != target {
			candidates = append(candidates, i)
		}
	}
	if n > len(candidates) {
		return nil, fmt.Errorf("%d texts are to be planted, and there are %d of other labels than the target's: give a smaller rate", n, len(candidates))
	}
	rng := rand.New(rand.NewPCG(seed, streamRecords))
	rng.Shuffle(len(candidates), func(i, j int) { candidates[i], candidates[j] = candidates[j], candidates[i] })
	p := &PlantedTexts{Which: make([]bool, len(d.Texts)),
		Texts: &dataset.Texts{Texts: slices.Clone(d.Texts), Labels: slices.Clone(d.Labels), Number: slices.Clone(d.Number)}}
	for _, i := range candidates[:n] {
		p.Texts.Texts[i], p.Texts.Labels[i], p.Which[i] = t.Apply(d.Texts[i]), target, true
	}
	return p, ctx.Err()
}

// NewTextManifest describes what was planted in texts. Digests are those of the text and its label, a line's end between them.
func NewTextManifest(t TextTrigger, rate float64, target string, seed uint64, d *dataset.Texts, p *PlantedTexts) (*Manifest, error) {
	if len(d.Texts) != len(p.Which) {
		return nil, errors.New("the texts are not those that were poisoned")
	}
	m := &Manifest{Attack: t.Describe(), Rate: rate, Seed: seed, Target: target, Records: len(p.Which), Planted: []ManifestRecord{}}
	for i, planted := range p.Which {
		if planted {
			m.Planted = append(m.Planted, ManifestRecord{Record: i + 1, From: d.Number[i], Label: p.Texts.Labels[i], WasLabel: d.Labels[i],
				Digest: p.Texts.Digest(i), Was: d.Digest(i)})
		}
	}
	return m, nil
}
