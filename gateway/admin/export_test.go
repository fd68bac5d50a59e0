package admin

// Titles are the codes of all problems, with their titles.
var Titles = titles
