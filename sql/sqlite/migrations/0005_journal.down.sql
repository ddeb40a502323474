DROP TABLE review_marks;
DROP TABLE journal;
