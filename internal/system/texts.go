package system

import "assay"

// tokenizer notes what is wrong with what makes the numbers that a model takes.
func (c *checker) tokenizer(m *Model) {
	if m.Tokenizer == nil {
		return
	}
	at := m.At + ".tokenizer"
	c.file(at+".file", m.Tokenizer.File, false)
	switch {
	case c.system.About.Modality != assay.Text:
		c.Fail(at, "is there, and the system's modality is %s: tokenizers are for texts", c.system.About.Modality)
	case m.Endpoint != "":
		c.Fail(at, "is there, and the model is behind an endpoint: texts are attacked on a model in a file")
	}
}

// texts notes what is wrong with data of texts and what an attacker may do to them.
func (c *checker) texts(d *Data) {
	switch {
	case d.Text != "" && c.system.About.Modality != assay.Text:
		c.Fail(d.At+".text", "is there, and the system's modality is %s: a column of texts is for systems that decide on texts", c.system.About.Modality)
	case d.Text != "" && d.Label == "":
		c.Fail(d.At+".label", "is missing: name the column with the classes of the texts")
	case d.Text != "" && (d.Schema.File != "" || d.Schema.Own != nil || d.Relations != nil || d.BadRecords != 0):
		c.Fail(d.At+".text", "is there, and a schema, relations or bad-records as well, which are those of rows of numbers: leave one out")
	}
	s := d.Substitutions
	if s == nil {
		return
	}
	at := d.At + ".substitutions"
	c.file(at+".synonyms", s.Synonyms, false)
	c.file(at+".embeddings", s.Embeddings, false)
	c.file(at+".protect", s.Protect, false)
	switch {
	case d.Text == "":
		c.Fail(at, "are there, and no column of texts: name it by text")
	case s.Synonyms == "" && s.Embeddings == "" && s.Edits == 0:
		c.Fail(at, "let no word change: give synonyms, embeddings or edits")
	case s.Embeddings == "" && (s.Cosine != 0 || s.Neighbours != 0):
		c.Fail(at, "say which vectors are near, and name no embeddings: name the file, or leave cosine and neighbours out")
	}
}

// words notes an attacker's budget that is not one of texts where it must be, or is one where it cannot be.
func (c *checker) words(g *Goal) {
	at, a := g.At+".attacker", g.Attacker
	texts := c.system.About.Modality == assay.Text
	switch {
	case a.Norm != nil && (*a.Norm == Words) != texts:
		c.Fail(at+".norm", "is %s, and the system's modality is %s: texts are measured in words, and nothing else is", *a.Norm, c.system.About.Modality)
	case texts && a.Eps != nil && *a.Eps > 1:
		c.Fail(at+".eps", "is %v, and a share of the words is at most 1", *a.Eps)
	case texts && a.Unit != nil:
		c.Fail(at+".unit", "is there, and of texts eps is a share of the words: leave it out")
	case texts && a.Groups != nil:
		c.Fail(at+".groups", "is there, and texts have no categorical features: leave it out")
	}
}
