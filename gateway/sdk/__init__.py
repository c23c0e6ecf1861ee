"""What agencies import: send and receive signals, enrol residents, record their choices.

async with Agency.open(Home.open(Path(".regie")), "00000099000000000010") as agency:
    summary = await agency.sender().send(rows, purpose="vroegsignalering-energie", recipient="0000009900…20")
"""
