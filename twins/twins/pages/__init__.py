"""The pages a person opens: what the twins were asked, what they made, what reached the inboxes."""
